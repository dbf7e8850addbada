"""A calibration is consistent, and says what a score and the adjectives amount to."""

from typing import Any

import pytest
from pydantic import ValidationError

from models.calibration import READINGS, Calibration, Readings, Thresholds, describe
from models.vocabulary import DIMENSIONS, WORDS
from tests.calibrations import calibration

SILENT = dict.fromkeys(WORDS, 0.1)


@pytest.mark.parametrize(
    ("score", "percentile"), [(0.0, 0), (0.2, 0), (0.205, 1), (0.4512, 50.24), (0.7, 100), (1.0, 100)]
)
def test_percentiles_are_interpolated(score: float, percentile: float) -> None:
    assert calibration().percentile(score) == pytest.approx(percentile)


def test_of_equal_scores_the_highest_percentile_counts() -> None:
    flat = calibration(score_percentiles=[0.3] * 50 + [0.5] * 51)
    assert [flat.percentile(score) for score in (0.29, 0.3, 0.4, 0.5)] == pytest.approx([0, 49, 49.5, 100])


@pytest.mark.parametrize(
    ("score", "reading"),
    [
        (1.0, "excellent"),
        (0.65, "excellent"),
        (0.6499, "good"),
        (0.5, "good"),
        (0.35, "fair"),
        (0.25, "poor"),
        (0.2499, "bad"),
        (0.0, "bad"),
    ],
)
def test_a_score_reads_as_the_word_whose_lowest_score_it_reaches(score: float, reading: str) -> None:
    assert calibration().reading(score) == reading


@pytest.mark.parametrize(
    "changes",
    [
        {"photographs": 0},
        {"source": ""},
        {"score_percentiles": [0.5] * 100},
        {"score_percentiles": [0.5] * 100 + [0.4]},
        {"score_percentiles": [0.5] * 100 + [1.5]},
        {"score_percentiles": [0.5] * 100 + [float("nan")]},
        {"dimension_percentiles": {name: [0.5] * 20 for name in DIMENSIONS}},
        {"dimension_percentiles": {"sharpness": [0.5] * 21}},
        {"dimension_percentiles": {name: [*[0.5] * 20, 0.4] for name in DIMENSIONS}},
        {"faults": {"ugliness": {"slight": 0.4, "strong": 0.5}}},
        {"faults": {"noise": {"slight": 0.6, "strong": 0.5}}},
        {"faults": {"noise": {"slight": 0.6}}},
        {"readings": {"excellent": 0.5, "good": 0.5, "fair": 0.3, "poor": 0.2}},
        {"readings": {"excellent": 0.5, "good": 0.4, "fair": 0.3, "poor": 0.2, "awful": 0.1}},
        {"surprise": 1},
    ],
)
def test_what_is_not_consistent_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        calibration(**changes)


def test_it_is_kept_as_json_and_cannot_be_changed() -> None:
    before = calibration()
    assert Calibration.model_validate_json(before.model_dump_json()) == before
    with pytest.raises(ValidationError):
        before.photographs = 3  # type: ignore[misc]


def test_an_image_is_described_by_its_calibration() -> None:
    found = describe(0.6, SILENT | {"blocky": 0.5}, calibration())
    assert (found.reading, found.phrases) == ("good", ["slightly blocky"])
    assert found.percentile == pytest.approx(80)


@pytest.mark.parametrize(("score", "reading"), [(0.7, "fair"), (0.6, "fair"), (0.3, "poor"), (0.1, "bad")])
def test_a_strong_fault_keeps_a_reading_from_being_good(score: float, reading: str) -> None:
    found = describe(score, SILENT | {"blocky": 0.9}, calibration())
    assert (found.reading, found.phrases) == (reading, ["blocky"])


@pytest.mark.parametrize(
    ("score", "reading"),
    [(1.0, "excellent"), (0.8, "excellent"), (0.79, "good"), (0.6, "good"), (0.4, "fair"), (0.2, "poor"),
     (0.19, "bad")],
)  # fmt: skip
def test_without_a_calibration_fifths_are_all_there_is(score: float, reading: str) -> None:
    found = describe(score, dict.fromkeys(WORDS, 1.0), None)
    assert (found.reading, found.percentile, found.faults) == (reading, None, ())


def test_readings_descend_and_thresholds_ascend() -> None:
    assert READINGS == ("excellent", "good", "fair", "poor", "bad")
    assert Readings(excellent=0.4, good=0.3, fair=0.2, poor=0.1).steps == (0.4, 0.3, 0.2, 0.1)
    assert Thresholds(slight=0.5, strong=0.5).slight == 0.5
