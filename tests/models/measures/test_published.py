"""MS-SSIM, HaarPSI, MDSI and VSI, held to an implementation by others."""

import io
from collections.abc import Callable

import numpy as np
import piq
import pytest
import torch
from PIL import Image, ImageFilter

from models.fidelity import LUMA
from models.measures import haarpsi as haarpsi_module
from models.measures.haarpsi import haarpsi
from models.measures.mdsi import mdsi
from models.measures.ms_ssim import ms_ssim
from models.measures.vsi import vsi
from models.preprocessing import Pixels
from tests.photographs import named

SIZES = {"even": (300, 450), "odd": (283, 401), "large": (600, 900)}


def photo(size: str) -> Pixels:
    height, width = SIZES[size]
    whole = np.tile(named()["coffee"], (2, 2, 1))
    return whole[:height, :width]


def jpeg(image: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=10)
    return np.asarray(Image.open(file).convert("RGB"))


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "blurred": lambda image: np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(2))),
    "compressed": jpeg,
    "dark": lambda image: (0.5 * image).astype(np.uint8),
    "inverted": lambda image: 255 - image,
}


def tensor(image: Pixels) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float64))[None]


def luma(image: Pixels) -> torch.Tensor:
    return torch.from_numpy(image @ LUMA)[None, None]


OTHERS: dict[
    str, tuple[Callable[[Pixels, Pixels], float | None], Callable[[Pixels, Pixels], torch.Tensor]]
] = {
    "ms_ssim": (ms_ssim, lambda x, y: piq.multi_scale_ssim(luma(y), luma(x), data_range=255.0)),
    "haarpsi": (haarpsi, lambda x, y: piq.haarpsi(tensor(y), tensor(x), data_range=255.0)),
    "mdsi": (mdsi, lambda x, y: piq.mdsi(tensor(y), tensor(x), data_range=255.0)),
    "vsi": (vsi, lambda x, y: piq.vsi(tensor(y), tensor(x), data_range=255.0)),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("size", ["even", "odd", pytest.param("large", marks=pytest.mark.slow)])
@pytest.mark.parametrize("change", CHANGES)
def test_the_value_is_that_of_piq(name: str, size: str, change: str) -> None:
    ours, theirs = OTHERS[name]
    reference = photo(size)
    distorted = CHANGES[change](reference)
    assert ours(reference, distorted) == pytest.approx(float(theirs(reference, distorted)), abs=1e-4)


@pytest.mark.parametrize("name", OTHERS)
def test_identical_images_have_the_best_value(name: str) -> None:
    ours, _ = OTHERS[name]
    for image in (photo("even"), np.zeros((200, 240, 3), np.uint8), np.full((200, 240, 3), 255, np.uint8)):
        assert ours(image, image) == pytest.approx(0 if name == "mdsi" else 1, abs=1e-3)


def test_haarpsi_is_the_same_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = photo("odd")
    distorted = jpeg(reference)
    whole = haarpsi(reference, distorted)
    monkeypatch.setattr(haarpsi_module, "_STRIP_PIXELS", 1)
    assert haarpsi(reference, distorted) == pytest.approx(whole, abs=1e-9)


def test_ms_ssim_needs_room_for_its_last_size() -> None:
    image = photo("even")[:161, :161]
    assert ms_ssim(image, image) == pytest.approx(1)
    assert ms_ssim(image[:160], image[:160]) is None


@pytest.mark.parametrize("name", ["haarpsi", "mdsi", "vsi"])
def test_the_smallest_images_have_values(name: str) -> None:
    image = photo("even")[:32, :32]
    value = OTHERS[name][0](image, jpeg(image))
    assert value is not None
    assert 0 < value < 1
