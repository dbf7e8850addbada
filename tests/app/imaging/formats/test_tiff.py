"""TIFF files: the main picture of several, camera RAW, and samples that are not read."""

import io
import struct
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.errors import UnsupportedMediaType
from app.imaging.decode import decode
from app.imaging.limits import Limits
from tests.app.tiff_files import tiff_file, tiff_picture
from tests.photographs import named

_LIMITS = Limits()
_CAT = named()["chelsea"]
_PREVIEW = np.full((64, 96, 3), 200, np.uint8)
_REDUCED, _MAIN, _MASK = 1, 0, 4


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("where", ["below", "behind"])
def test_a_preview_is_not_the_main_picture(order: str, where: str) -> None:
    preview, main = tiff_picture(_PREVIEW, _REDUCED), tiff_picture(_CAT)
    mask = tiff_picture(np.full((900, 900), 255, np.uint8), _MASK)
    smaller = tiff_picture(_CAT[:100, :100])
    others = [smaller, main, mask]
    data = (
        tiff_file([preview], others, order=order)
        if where == "below"
        else tiff_file([preview, *others], order=order)
    )
    picture = decode(data, _LIMITS)
    assert (picture.pixels == _CAT).all()
    assert picture.provenance.frames == (1 if where == "below" else 4)
    assert picture.provenance.bytes == len(data)


def test_a_mask_is_not_the_main_picture() -> None:
    mask = tiff_picture(np.full((900, 900), 255, np.uint8), _MASK)
    assert (decode(tiff_file([mask, tiff_picture(_CAT)]), _LIMITS).pixels == _CAT).all()


def test_a_preview_by_the_older_tag() -> None:
    preview = tiff_picture(_PREVIEW, _MAIN, t255=[2])
    assert (decode(tiff_file([preview, tiff_picture(_CAT)]), _LIMITS).pixels == _CAT).all()


def test_the_first_of_equals_and_the_only_picture_are_scored() -> None:
    pages = [tiff_picture(_PREVIEW), tiff_picture(_CAT)]
    assert decode(tiff_file(pages), _LIMITS).pixels.shape == _PREVIEW.shape
    assert decode(tiff_file([tiff_picture(_PREVIEW, _REDUCED)]), _LIMITS).pixels.shape == _PREVIEW.shape


def test_directories_that_go_round_are_read_once() -> None:
    data = tiff_file([tiff_picture(_CAT)])
    begin = int.from_bytes(data[4:8], "little")
    looped = data[:-4] + struct.pack("<I", begin)
    assert (decode(looped, _LIMITS).pixels == _CAT).all()


_SENSOR = np.zeros((300, 451), np.uint16)
_SMALL = tiff_picture(_PREVIEW, _REDUCED)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: tiff_file([_SMALL], [tiff_picture(_SENSOR, t262=[32803])]), "sensor data"),
        (lambda: tiff_file([tiff_picture(_SENSOR, t262=[32803])]), "sensor data"),
        (lambda: tiff_file([tiff_picture(_PREVIEW), tiff_picture(_SENSOR, t262=[34892])]), "sensor data"),
        (lambda: tiff_file([tiff_picture(_PREVIEW)], [tiff_picture(_SENSOR, t259=[34713])]), "sensor data"),
        (lambda: tiff_file([tiff_picture(_CAT, t50706=[1, 4, 0, 0])]), "DNG"),
        (lambda: b"II*\0\x10\0\0\0CR\2\0" + bytes(4) + tiff_file([tiff_picture(_CAT)])[8:], "Canon CR2"),
        (lambda: b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(40), "Canon CR3"),
        (lambda: b"FUJIFILMCCD-RAW 0201" + bytes(40), "Fujifilm RAF"),
        (lambda: b"IIRO\x08\0\0\0" + bytes(40), "Olympus ORF"),
        (lambda: b"IIU\0\x08\0\0\0" + bytes(40), "Panasonic RW2"),
        (lambda: b"II\x1a\0\0\0HEAPCCDR" + bytes(40), "Canon CRW"),
        (lambda: b"FOVb" + bytes(40), "Sigma X3F"),
        (lambda: b"\0MRM" + bytes(40), "Minolta MRW"),
    ],
)
def test_camera_raw_is_named(make: Callable[[], bytes], named: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="camera RAW") as caught:
        decode(make(), _LIMITS)
    assert named in caught.value.detail
    assert caught.value.fields["reason"] == "camera-raw"


@pytest.mark.parametrize(
    ("pixels", "entries", "words"),
    [
        (_CAT / np.float32(255), {}, "RGB in floating-point numbers of 32 bits"),
        ((_CAT / 255).astype(np.float16), {}, "RGB in floating-point numbers of 16 bits"),
        (_CAT.astype(np.uint32), {}, "RGB in integers of 32 bits"),
        (_CAT.astype(np.int16), {}, "RGB in signed integers of 16 bits"),
        (_CAT.astype(np.uint16), {"t284": [2]}, "3 per pixel in separate planes"),
        ((_CAT[..., 0] // 2).astype(np.int8), {}, "gray in signed integers of 8 bits"),
        (_CAT.astype(np.uint16), {"t262": [8]}, r"L\*a\*b\* in integers of 16 bits"),
        (_CAT / np.float32(255), {"t262": [8]}, r"L\*a\*b\* in floating-point numbers of 32 bits"),
        (_CAT[..., 0] / 255, {}, "gray in floating-point numbers of 64 bits"),
        ((_CAT[..., 0] / 255).astype(np.complex64), {}, "gray in complex numbers of 64 bits"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_samples_that_are_not_read_are_named(
    pixels: NDArray[np.generic], entries: dict[str, Sequence[int]], words: str, order: str
) -> None:
    with pytest.raises(UnsupportedMediaType, match=words) as caught:
        decode(tiff_file([tiff_picture(pixels, **entries)], order=order), _LIMITS)
    assert caught.value.fields["reason"] == "kind"


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"]
)
def test_what_pillow_writes_is_read(mode: str) -> None:
    image = Image.fromarray(_CAT)
    if mode == "LAB":
        image = Image.frombytes("LAB", image.size, image.tobytes())
    elif mode == "F":
        image = Image.fromarray(_CAT[..., 0] / np.float32(255))
    elif mode != "RGB":
        image = image.convert("L").convert(mode) if mode in ("I;16", "I") else image.convert(mode)
    file = io.BytesIO()
    image.save(file, "TIFF")
    assert decode(file.getvalue(), _LIMITS).pixels.shape == _CAT.shape
