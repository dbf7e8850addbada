"""PNG files: animations with a hidden default image, and files without their end."""

import struct

import numpy as np
import pytest
from PIL import Image

from app.errors import InvalidImage
from app.imaging.decode import decode
from app.imaging.limits import Limits
from tests.app.files import encoded, png_chunk
from tests.photographs import named

_LIMITS = Limits()
_CAT, _CUP = named()["chelsea"], named()["coffee"][:300, :451]


def _animation(*, hidden: bool, first: Image.Image) -> bytes:
    frames = [Image.fromarray(_CAT).convert(first.mode), Image.fromarray(_CUP).convert(first.mode)]
    return encoded(first, "PNG", save_all=True, default_image=hidden, append_images=frames)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_a_hidden_default_image_is_not_scored(mode: str) -> None:
    first = Image.fromarray(_CUP)
    palette = first.quantize(64) if mode == "P" else None
    first = palette or first.convert(mode)
    cat = Image.fromarray(_CAT)
    cat = cat.quantize(palette=palette) if palette else cat.convert(mode)
    data = encoded(first, "PNG", save_all=True, default_image=True, append_images=[cat, first])
    picture = decode(data, _LIMITS)
    assert (picture.pixels == np.asarray(cat.convert("RGB"))).all()
    assert picture.provenance.frames == 2
    assert picture.provenance.bytes == len(data)


def test_a_default_image_that_is_a_frame_is_scored() -> None:
    picture = decode(_animation(hidden=False, first=Image.fromarray(_CUP)), _LIMITS)
    assert (picture.pixels == _CUP).all()
    assert picture.provenance.frames == 3


def test_the_frame_keeps_what_is_said_of_all() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.fromarray(_CAT)]
    data = encoded(
        Image.fromarray(_CUP), "PNG", save_all=True, default_image=True, append_images=frames, exif=exif
    )
    at = data.index(b"eXIf") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    data = data[:33] + data[at:end] + data[33:at] + data[end:]  # Pillow writes it behind the pixels
    assert (decode(data, _LIMITS).pixels == np.rot90(_CAT, -1)).all()


def test_an_animation_without_frames_is_its_default_image() -> None:
    data = encoded(_CAT, "PNG")
    control = png_chunk(b"acTL", struct.pack(">II", 2, 0))
    assert (decode(data[:33] + control + data[33:], _LIMITS).pixels == _CAT).all()


def test_a_damaged_frame_is_not_replaced_by_the_default_image() -> None:
    data = _animation(hidden=True, first=Image.fromarray(_CUP))
    at = data.index(b"fdAT") + 2000
    with pytest.raises(InvalidImage):
        decode(data[:at] + bytes(500) + data[at + 500 :], _LIMITS)


@pytest.mark.parametrize("lost", [1, 4, 11, 12])
def test_a_file_that_lacks_only_its_end_is_scored_with_a_warning(lost: int) -> None:
    for format in ("PNG", "GIF"):
        data = encoded(_CAT, format)
        assert decode(data, _LIMITS).notes == ()
        assert decode(data + b"trailer", _LIMITS).notes == ()
        if format == "GIF" and lost > 2:
            continue
        picture = decode(data[:-lost], _LIMITS)
        assert [note.partition(":")[0] for note in picture.notes] == ["end-missing"]
        assert (picture.pixels == decode(data, _LIMITS).pixels).all()
