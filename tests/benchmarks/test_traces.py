"""Traces: proportions, sizes, and that the same seed gives the same bytes."""

import io
from collections import Counter

import pytest
from PIL import Image

from tests.benchmarks.traces import BLOCK, Upload, make


@pytest.fixture(scope="module")
def mixed() -> list[Upload]:
    return make("mixed", blocks=2, seed=5)


def test_each_block_has_the_same_proportions(mixed: list[Upload]) -> None:
    assert len(mixed) == 2 * BLOCK
    for start in (0, BLOCK):
        block = mixed[start : start + BLOCK]
        assert Counter(upload.kind for upload in block) == {"camera": 1, "web": 10, "thumbnail": 9}
        assert Counter(upload.type for upload in block) == {"image/jpeg": 18, "image/png": 1, "image/webp": 1}
    cameras = [(upload.width, upload.height) for upload in mixed if upload.kind == "camera"]
    assert cameras == [(4000, 3000), (3000, 4000)]


def test_thumbnails_have_many_aspects(mixed: list[Upload]) -> None:
    thumbnails = [(upload.width, upload.height) for upload in mixed if upload.kind == "thumbnail"]
    assert all(min(size) >= 63 and max(size) <= 256 for size in thumbnails)
    assert any(width > height for width, height in thumbnails)
    assert any(width < height for width, height in thumbnails)
    assert len(set(thumbnails)) == len(thumbnails)


def test_files_are_what_they_are_said_to_be(mixed: list[Upload]) -> None:
    for upload in mixed:
        with Image.open(io.BytesIO(upload.data)) as image:
            assert image.size == (upload.width, upload.height)
            assert Image.MIME[image.format or ""] == upload.type


def test_a_seed_gives_the_same_bytes_and_another_one_others() -> None:
    first, again, other = (make("96x64", blocks=1, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert not {upload.data for upload in first} & {upload.data for upload in other}
    assert {(upload.width, upload.height, upload.kind) for upload in first} == {(96, 64, "96x64")}


def test_more_blocks_begin_with_the_same_ones() -> None:
    assert make("96x64", blocks=2)[:BLOCK] == make("96x64", blocks=1)


@pytest.mark.parametrize("name", ["mixt", "12", "ax4", "1x2x3"])
def test_an_unknown_trace(name: str) -> None:
    with pytest.raises(ValueError, match="There is no trace"):
        make(name)
