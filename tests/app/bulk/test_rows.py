"""A row puts the model whose score it has into words, by the calibration of the weights."""

import pytest

from app.bulk.rows import answer_fields, columns, flat
from app.schemas.exposure import EXPOSURE_MEASURES
from models.calibration import Thresholds
from tests.app.bulk.rows import MODELS, row, scored
from tests.calibrations import calibration


def test_a_row_has_the_columns_that_there_are() -> None:
    assert set(row("a.jpg")) | {"problem"} == {column.name for column in columns(MODELS)}


def test_a_row_tells_the_exposure_where_it_is_known() -> None:
    found = row("a.jpg")
    assert {name: found[name] for name in EXPOSURE_MEASURES} == {
        "mean_luminance": 0.2,
        "p99_luminance": 0.9,
        "clipped_shadows": 0.0,
        "clipped_highlights": 0.0123,
    }
    # A service of an earlier version measures none, and a journal of one has not even the key.
    assert not set(row("a.jpg", facts=None)) & set(EXPOSURE_MEASURES)
    line = answer_fields(scored("a.jpg"))
    del line["facts"]
    assert not set(flat(line, {})) & set(EXPOSURE_MEASURES)


def test_words_are_faults_and_no_compliments() -> None:
    calibrations = {"bpclip": calibration(), "qualiclip": None}
    good = row("a.jpg", 0.625, calibrations=calibrations)
    assert (good["reading"], good["words"]) == ("good", [])
    assert good["percentile"] == pytest.approx(85)
    fair = row("a.jpg", 0.5, calibrations=calibrations)  # every bad word has a probability of 0.5
    assert (fair["reading"], len(fair["words"]), fair["words"][0]) == ("good", 8, "slightly soft")
    one = calibration(faults={"noise": Thresholds(slight=0.2, strong=0.3)})
    spoilt = row("a.jpg", 0.6, calibrations={"bpclip": one})
    assert (spoilt["reading"], spoilt["words"]) == ("fair", ["noisy"])


def test_without_a_calibration_there_is_a_reading_alone() -> None:
    for calibrations in ({}, {"bpclip": None}, {"qualiclip": calibration()}):
        found = row("a.jpg", 0.1, calibrations=calibrations)
        assert (found["percentile"], found["reading"], found["words"]) == (None, "bad", [])
