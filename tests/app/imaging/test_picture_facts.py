"""Facts of pictures made on purpose, and of JPEG files of known settings."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.imaging.decode import decode
from app.imaging.limits import Limits
from app.imaging.picture_facts import effective_scale, entropy, measure_facts
from app.schemas.measured.facts import PictureFacts
from app.settings import Settings
from tests.app.files import encoded
from tests.photographs import named

LIMITS = Limits.of(Settings(_env_file=None))


def facts(data: bytes) -> PictureFacts:
    return measure_facts(decode(data, LIMITS))


@pytest.mark.parametrize("quality", [1, 10, 25, 49, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_the_settings_of_libjpeg_are_told(quality: int, subsampling: str) -> None:
    found = facts(encoded(named()["chelsea"], quality=quality, subsampling=subsampling))
    assert found.chroma_subsampling == subsampling
    # At the lowest settings all of the table is at its limit of 255, and alike.
    assert found.jpeg_quality == pytest.approx(quality, abs=1)


def test_what_a_file_does_not_say_is_none() -> None:
    png = facts(encoded(named()["chelsea"], "PNG"))
    assert (png.jpeg_quality, png.chroma_subsampling) == (None, None)
    gray = facts(encoded(Image.fromarray(named()["chelsea"]).convert("L"), quality=80))
    assert (gray.jpeg_quality, gray.chroma_subsampling) == (80, None)


def test_entropy_counts_tones() -> None:
    flat = np.full((64, 64, 3), 9, np.uint8)
    assert entropy(flat) == 0
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(4, axis=0)
    assert entropy(ramp) == pytest.approx(8)
    assert entropy(ramp // 128 * 128) == pytest.approx(1)


def enlarged(photo: NDArray[np.uint8], times: float) -> NDArray[np.uint8]:
    whole = Image.fromarray(photo)
    small = whole.resize((round(whole.width / times), round(whole.height / times)), Image.Resampling.LANCZOS)
    return np.asarray(small.resize(whole.size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize("name", ["astronaut", "china", "coffee", "flower"])
def test_an_enlarged_picture_has_no_detail_at_its_size(name: str) -> None:
    photo = named()[name]
    scales = [effective_scale(enlarged(photo, times)) or 0.0 for times in (1, 2, 4)]
    assert scales == sorted(scales, reverse=True)
    assert scales[2] < 0.66 < scales[0]


def test_there_is_no_scale_without_pixels_or_detail() -> None:
    assert effective_scale(named()["china"][:127]) is None
    assert effective_scale(np.full((200, 200, 3), 9, np.uint8)) is None


def test_a_file_that_was_not_decoded_at_its_size_has_no_scale() -> None:
    photo = Image.fromarray(named()["china"]).resize((1280, 856))
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=90)
    whole, reduced = decode(file.getvalue(), LIMITS), decode(file.getvalue(), LIMITS, lambda size: (320, 214))
    assert measure_facts(whole).effective_scale is not None
    assert measure_facts(reduced).effective_scale is None
    assert measure_facts(reduced).jpeg_quality == 90
