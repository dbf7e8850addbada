"""A calibration is consistent, and says what a score and the adjectives amount to."""

from typing import Any

import pytest
from pydantic import ValidationError

from models.calibration import (
    READINGS,
    Calibration,
    Description,
    PixelEvidence,
    Readings,
    Thresholds,
    at_best,
    describe,
)
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


MIDDLING = dict.fromkeys(DIMENSIONS, 0.5)


def phrases(found: Description) -> list[str]:
    return [fault.phrase for fault in found.faults]


def test_an_image_is_described_by_its_calibration() -> None:
    found = describe(0.6, SILENT | {"blocky": 0.5}, MIDDLING, calibration())
    assert (found.reading, phrases(found)) == ("good", ["slightly blocky"])
    assert found.percentile == pytest.approx(80)


@pytest.mark.parametrize(("score", "reading"), [(0.7, "fair"), (0.6, "fair"), (0.3, "poor"), (0.1, "bad")])
def test_a_strong_fault_keeps_a_reading_from_being_good(score: float, reading: str) -> None:
    found = describe(score, SILENT | {"blocky": 0.9}, MIDDLING, calibration())
    assert (found.reading, phrases(found)) == (reading, ["blocky"])


@pytest.mark.parametrize(
    ("score", "dimensions", "words", "summary", "reading"),
    [
        (0.66, 0.9, {}, "Sharp and clean, with good contrast.", "excellent"),
        (0.66, 0.5, {}, "Nothing stands out as a fault.", "excellent"),
        (0.3, 0.9, {}, "No single fault stands out.", "poor"),
        (0.66, 0.5, {"blocky": 0.7}, "Blocky.", "fair"),
        (0.6, 0.5, {"blocky": 0.5}, "Slightly blocky.", "good"),
        (0.1, 0.5, {"blocky": 0.7, "dark": 0.9, "underexposed": 0.7}, "Underexposed and blocky.", "bad"),
        (
            0.6,
            0.5,
            {"blocky": 0.5, "overexposed": 0.45, "oversaturated": 0.9, "dark": 0.6, "underexposed": 0.5},
            "Oversaturated, slightly underexposed and slightly blocky.",
            "fair",
        ),
    ],
)
def test_what_stands_out_is_one_sentence(
    score: float, dimensions: float, words: dict[str, float], summary: str, reading: str
) -> None:
    found = describe(score, SILENT | words, dict.fromkeys(DIMENSIONS, dimensions), calibration())
    assert (found.summary, found.reading) == (summary, reading)


def test_a_fault_is_said_with_the_part_that_has_it() -> None:
    words = SILENT | {"blocky": 0.7, "dark": 0.9, "underexposed": 0.7, "noisy": 0.5, "grainy": 0.5}
    seen = PixelEvidence(
        {"compression": "right", "noise": "right", "underexposed": "whole"}, evident=["noise"]
    )
    found = describe(0.4, words, MIDDLING, calibration(), seen)
    assert [(each.name, each.region, each.message) for each in found.faults] == [
        ("underexposed", "whole", "underexposed"),
        ("compression", "right", "the right half is blocky"),
        ("noise", "right", "the right half is slightly noisy"),
    ]
    assert found.summary == "Underexposed; the right half is blocky and slightly noisy."


def test_what_the_pixels_show_is_named_or_not_named_whatever_the_threshold() -> None:
    assert (
        describe(0.6, SILENT, MIDDLING, calibration(), PixelEvidence(evident=["blur"])).summary
        == "Slightly soft."
    )
    blurry = SILENT | dict.fromkeys(("blurry", "soft", "defocused", "smeared"), 0.99)
    assert describe(0.6, blurry, MIDDLING, calibration()).reading == "fair"
    found = describe(0.6, blurry, MIDDLING, calibration(), PixelEvidence(excluded=["blur"]))
    assert (found.reading, found.faults) == ("good", ())


def test_faults_that_exclude_each_other_are_not_named_together() -> None:
    words = SILENT | {"dark": 0.9, "underexposed": 0.9, "overexposed": 0.7, "blocky": 0.7}
    assert describe(0.1, words, MIDDLING, calibration()).summary == "Underexposed and blocky."
    half = PixelEvidence({"underexposed": "left"})
    assert phrases(describe(0.1, words, MIDDLING, calibration(), half)) == [
        "underexposed", "overexposed", "blocky",
    ]  # fmt: skip


def test_a_model_without_adjectives_has_a_reading_and_no_faults() -> None:
    found = describe(0.6, {}, {}, calibration())
    assert (found.reading, found.faults) == ("good", ())
    assert found.summary == "Nothing stands out as a fault."


@pytest.mark.parametrize(
    ("score", "reading"),
    [(1.0, "excellent"), (0.8, "excellent"), (0.79, "good"), (0.6, "good"), (0.4, "fair"), (0.2, "poor"),
     (0.19, "bad")],
)  # fmt: skip
def test_without_a_calibration_fifths_are_all_there_is(score: float, reading: str) -> None:
    found = describe(score, dict.fromkeys(WORDS, 1.0), MIDDLING, None)
    assert (found.reading, found.percentile, found.faults) == (reading, None, ())
    assert "no calibration" in found.summary


def test_of_two_readings_the_worse_one_counts() -> None:
    assert [at_best(reading, "fair") for reading in READINGS] == ["fair", "fair", "fair", "poor", "bad"]


def test_readings_descend_and_thresholds_ascend() -> None:
    assert READINGS == ("excellent", "good", "fair", "poor", "bad")
    assert Readings(excellent=0.4, good=0.3, fair=0.2, poor=0.1).steps == (0.4, 0.3, 0.2, 0.1)
    assert Thresholds(slight=0.5, strong=0.5).slight == 0.5


def test_the_name_that_a_dimension_had_is_read_as_that_of_today() -> None:
    """Weights files keep the metadata that they were written with."""
    fields = calibration().model_dump(mode="json")
    fields["dimension_percentiles"]["noisiness"] = fields["dimension_percentiles"].pop("cleanness")
    assert Calibration.model_validate(fields) == calibration()
