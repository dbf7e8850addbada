"""Which photograph of a group is kept, and what is said of it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from app.picking.choosing import Contender, choose_best

_GOOD = Contender(score=0.8, pixels=4_000_000, luminance=0.3, fidelity=90, sharpness=0.9, cleanness=0.9)
_NOON = datetime(2026, 7, 1, 12)


@pytest.mark.parametrize(
    ("other", "advantage", "reason"),
    [
        (replace(_GOOD, score=0.5, sharpness=0.3), "sharpness", "Sharper than 1 other."),
        (replace(_GOOD, score=0.5, cleanness=0.4), "cleanness", "Less noisy than 1 other."),
        (replace(_GOOD, score=0.5, faults=("compression",)), "compression", "Less compressed than 1 other."),
        (replace(_GOOD, score=0.5, faults=("dull",)), "faults", "With fewer faults than 1 other."),
        (replace(_GOOD, score=0.6, luminance=0.1), "exposure", "Better exposed than 1 other."),
        (
            replace(_GOOD, score=0.81, pixels=900_000),
            "pixels",
            "The same picture at more pixels than 1 other.",
        ),
        (replace(_GOOD, score=0.81, fidelity=60), "compression", "Less compressed than 1 other."),
        (replace(_GOOD, score=0.7), "score", "With a higher score than 1 other."),
        (_GOOD, "none", "As good as 1 other."),
    ],
)
def test_the_better_one_of_two(other: Contender, advantage: str, reason: str) -> None:
    choice = choose_best([other, _GOOD] if other is not _GOOD else [_GOOD, other])
    if other is not _GOOD:
        assert choice.best == 1
        assert choice.advantages == (advantage, None)
    else:
        assert choice.advantages == (None, advantage)
    assert choice.reason == reason


def test_a_lossless_copy_and_the_file_of_the_camera() -> None:
    lossless, again = replace(_GOOD, fidelity=101), replace(_GOOD, score=0.83)
    assert choose_best([again, lossless]).best == 1
    # It scores higher by more than noise.
    assert choose_best([replace(again, score=0.9), lossless]).best == 0
    # An EXIF block is lost in copies, and never made.
    camera = replace(_GOOD, taken=_NOON)
    assert choose_best([lossless, camera]).best == 1


def test_an_enlargement_has_no_more_pixels_than_what_it_was_made_of() -> None:
    original = replace(_GOOD, effective_scale=1.0)
    enlarged = replace(_GOOD, pixels=4 * _GOOD.pixels, score=0.7, effective_scale=0.5)
    choice = choose_best([enlarged, original])
    assert (choice.best, choice.advantages) == (1, ("detail", None))
    # That with the detail to show is none.
    assert choose_best([replace(enlarged, effective_scale=1.0), original]).best == 0


def test_the_usual_exposure_is_preferred() -> None:
    brighter = replace(_GOOD, score=0.82, luminance=0.6)
    assert choose_best([brighter, _GOOD, replace(_GOOD, score=0.6)]).best == 1
    assert choose_best([replace(brighter, score=0.95), _GOOD, replace(_GOOD, score=0.6)]).best == 0


def test_of_a_burst_the_score_decides() -> None:
    frames = [
        replace(_GOOD, score=score, fidelity=fidelity, taken=_NOON + timedelta(seconds=number / 4))
        for number, (score, fidelity) in enumerate([(0.80, 96), (0.83, 92), (0.81, 95)])
    ]
    assert choose_best(frames).best == 1


def test_a_sentence_about_many() -> None:
    blurred, small = replace(_GOOD, score=0.5, sharpness=0.3), replace(_GOOD, pixels=400_000)
    choice = choose_best([blurred, small, _GOOD, blurred])
    assert choice.reason == "Sharper than 2 others, the same picture at more pixels than 1."
    assert choose_best([blurred, _GOOD, blurred]).reason == "Sharper than the 2 others."
    assert choose_best([_GOOD]).reason == "No other photograph shows the same."
