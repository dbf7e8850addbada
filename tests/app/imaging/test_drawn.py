"""Drawings are told from photographs, whatever the codec; none of the drawings here was learned from."""

from functools import cache

import numpy as np
import pytest
from PIL import Image

from app.imaging.drawn import drawn_features, is_uniform, looks_drawn
from tests.drawings import DRAWINGS, drawing, handed_on
from tests.photographs import named

_FIRST_SEED = 1000


@cache
def _is_told(kind: str, seed: int) -> bool:
    return looks_drawn(handed_on(drawing(kind, seed), seed))


@pytest.mark.parametrize("kind", list(DRAWINGS))
def test_a_drawing_is_recognized_after_scaling_and_compression(kind: str) -> None:
    told = [_is_told(kind, seed) for seed in range(_FIRST_SEED, _FIRST_SEED + 4)]
    assert sum(told) >= (2 if kind == "rendering" else 4)


@pytest.mark.slow
def test_recall_of_drawings() -> None:
    seeds = range(_FIRST_SEED, _FIRST_SEED + 12)
    assert np.mean([_is_told(kind, seed) for kind in DRAWINGS for seed in seeds]) >= 0.95


@pytest.mark.parametrize("name", list(named()))
def test_photographs_are_photographs(name: str) -> None:
    photo = named()[name]
    gray = np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))
    assert not looks_drawn(photo)
    assert not looks_drawn(gray)
    assert not any(looks_drawn(handed_on(each, seed)) for seed in range(8) for each in (photo, gray))
    large = np.asarray(Image.fromarray(photo).resize((2000, 1500), Image.Resampling.BICUBIC))
    assert not looks_drawn(large)


@pytest.mark.parametrize("shape", [(16, 3000), (31, 3000), (32, 3200), (3000, 40), (17, 17), (6000, 32)])
def test_every_shape_has_measures(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert np.isfinite(drawn_features(noise)).all()
    assert not looks_drawn(noise)


def test_what_is_too_small_or_uniform_is_no_drawing() -> None:
    assert not looks_drawn(drawing("window", 0)[:15])
    blank = np.full((300, 400, 3), 255, np.uint8)
    assert is_uniform(blank)
    assert not looks_drawn(blank)
