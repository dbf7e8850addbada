"""Counting frames: as Pillow does, and without its patience."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.imaging.formats import gif, tiff
from tests.app.files import encoded

_COUNTS = {"GIF": gif.count_gif_frames, "TIFF": tiff.count_tiff_pages}
_PAGES = [Image.fromarray(np.full((40, 40, 3), 30 * page, np.uint8)) for page in range(7)]


def _saved(format: str, pages: int, **options: object) -> bytes:
    return encoded(_PAGES[0], format, save_all=True, append_images=_PAGES[1:pages], **options)


@pytest.mark.parametrize(
    ("format", "options"),
    [("GIF", {}), ("GIF", {"comment": b"a comment " * 100}), ("TIFF", {}), ("TIFF", {"big_tiff": True})],
)
@pytest.mark.parametrize("pages", [1, 2, 7])
def test_as_pillow_counts(format: str, options: dict[str, object], pages: int) -> None:
    data = _saved(format, pages, **options)
    count = _COUNTS[format]
    assert count(data, 100) == pages == getattr(Image.open(io.BytesIO(data)), "n_frames", 1)
    assert count(data, 3) == min(pages, 4)


_SCREEN = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0, 0, 0)
_FRAME = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x01\0\0"


def test_a_file_of_nothing_but_frames() -> None:
    """Twenty million bytes, of which little is looked at: Pillow would take minutes for each."""
    frames = _SCREEN + _FRAME * (20_000_000 // len(_FRAME))
    assert gif.count_gif_frames(frames, 10_000) == 10_001
    page = 2 + 12 + 4
    chain = b"".join(
        struct.pack("<HHHIII", 1, 256, 4, 1, 64, 8 + page * (number + 1)) for number in range(100_000)
    )
    assert tiff.count_tiff_pages(b"II*\0" + struct.pack("<I", 8) + chain, 10_000) == 10_001


@pytest.mark.parametrize("filling", [b"\0", b"!\xfe\0", b"!\xfe" + b"\1\0" * 1_000_000])
def test_a_file_of_nothing_but_blocks_counts_as_too_much(filling: bytes) -> None:
    assert gif.count_gif_frames(_SCREEN + filling * (4_000_000 // len(filling) + 1), 10) == 11


def test_directories_in_a_circle_have_an_end() -> None:
    circle = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHIII", 1, 256, 4, 1, 64, 8)
    assert tiff.count_tiff_pages(circle, 50) == 1


@given(st.binary(max_size=200), st.sampled_from([b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]))
def test_whatever_comes_is_counted(rest: bytes, signature: bytes) -> None:
    count = gif.count_gif_frames if signature == b"GIF89a" else tiff.count_tiff_pages
    assert 1 <= count(signature + rest, 5) <= 6
