"""A row says what the answer says, in words too."""

import pytest

from app.bulk.rows import answer_fields, flat
from app.schemas.columns import columns
from app.schemas.measured.exposure import EXPOSURE_MEASURES
from models.calibration import Thresholds
from models.faults import EXCLUSIVE, FAULTS
from tests.app.bulk.rows import MODELS, row, scored, verdict
from tests.calibrations import calibration


def test_a_row_has_the_columns_that_there_are() -> None:
    assert list(row("a.jpg")) == [column.name for column in columns(MODELS)]
    # So has a data frame, of what an answer alone can say.
    alone = scored("a.jpg").answer.row()
    assert list(alone) == [name for name in row("a.jpg") if name not in ("file", "problem")]


def test_every_column_finds_its_value() -> None:
    found = row(
        "a.jpg",
        verdict=verdict("fail", "Too small."),
        warnings=["one", "one", "two"],
        confidence={"level": "low", "reasons": ["models-disagree: much."]},
        calibration=calibration(),
    )
    assert [name for name, value in found.items() if value is None] == ["problem"]
    assert (found["policy"], found["verdict"], found["reasons"]) == ("upload", "fail", ["Too small."])
    assert (found["confidence"], found["doubts"]) == ("low", ["models-disagree: much."])
    assert found["warnings"] == ["one", "two"]
    assert found["summary"] == scored("a.jpg", calibration=calibration()).answer.summary
    assert found["bpclip_overall"] == 0.5


def test_a_row_tells_the_worst_tile_where_there_are_tiles() -> None:
    tile = {
        "left": 0,
        "top": 8,
        "width": 384,
        "height": 384,
        "score": 0.5,
        "sharpness": 0.25,
        "cleanness": 1.0,
    }
    detail = {"model": "bpclip", "score": 0.5, "sharpness": 0.25, "cleanness": None, "tiles": [tile]}
    found = row("a.jpg", detail=detail)
    named = [column.name for column in columns(MODELS, detail=True)]
    assert list(found) == named
    assert [found[name] for name in named if name.startswith("detail_")] == [0.5, 0.25, None]


def test_a_row_tells_the_exposure_where_it_is_known() -> None:
    found = row("a.jpg")
    assert {name: found[name] for name in EXPOSURE_MEASURES} == {
        "mean_luminance": 0.2,
        "p99_luminance": 0.9,
        "clipped_shadows": 0.0,
        "clipped_highlights": 0.0123,
    }
    # A service of an earlier version measures none, and a journal of one has not even the key.
    assert {row("a.jpg", facts=None)[name] for name in EXPOSURE_MEASURES} == {None}
    line = answer_fields(scored("a.jpg"))
    del line["facts"]
    assert {flat(line)[name] for name in EXPOSURE_MEASURES} == {None}


def test_faults_are_faults_and_no_compliments() -> None:
    good = row("a.jpg", 0.625, calibration=calibration())
    assert (good["reading"], good["faults"]) == ("good", [])
    assert good["percentile"] == pytest.approx(85)
    fair = row("a.jpg", 0.5, calibration=calibration())  # every bad word has a probability of 0.5
    assert (fair["reading"], fair["faults"][0]) == ("good", "slightly soft")
    assert len(fair["faults"]) == len(FAULTS) - len(EXCLUSIVE)
    one = calibration(faults={"noise": Thresholds(slight=0.2, strong=0.3)})
    spoilt = row("a.jpg", 0.6, calibration=one)
    assert (spoilt["reading"], spoilt["faults"]) == ("fair", ["noisy"])


def test_a_line_of_an_earlier_version_has_no_words() -> None:
    line = answer_fields(scored("a.jpg"))
    for name in ("reading", "percentile", "faults"):
        del line[name]
    found = flat(line)
    assert (found["reading"], found["percentile"], found["faults"]) == (None, None, [])
