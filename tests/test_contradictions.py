"""No answer of the bundled weights contradicts itself; and what would is found."""

from pathlib import Path
from typing import Any

import pytest

from tests.app.bulk.rows import answer, verdict
from tests.benchmarks import contradictions as program
from tests.benchmarks.robustness import write_photographs
from tests.calibrations import calibration
from tests.contradictions import contradictions

_FAULT = {"fault": "blur", "severity": "strong", "confidence": 0.9, "region": "whole", "message": "blurry"}
_SURE = {"level": "high", "reasons": []}


def kinds(**changes: Any) -> list[str]:
    """The kinds of contradictions in an answer that has none but for these changes."""
    sound = answer(0.625, calibration=calibration(), confidence=_SURE)
    assert contradictions(sound) == []
    fields = sound.model_dump() | changes
    return [each.partition(" / ")[0] for each in contradictions(type(sound).model_validate(fields))]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"faults": [_FAULT]}, "a strong fault reads good"),
        ({"faults": [_FAULT]}, "faults is not that of the model"),
        ({"faults": [_FAULT], "summary": "Sharp."}, "the summary praises what has a fault"),
        ({"faults": [_FAULT], "summary": "Noisy."}, "the summary leaves out the worst fault"),
        ({"faults": [_FAULT | {"severity": "slight"}], "reading": "excellent"}, "excellent with a fault"),
        ({"faults": [_FAULT, _FAULT]}, "a fault is named twice"),
        ({"reading": "poor", "summary": "Clean."}, "the summary of what reads poor praises"),
        ({"percentile": 1.0}, "percentile is not that of the model"),
        ({"verdict": verdict("fail", "Too small.")}, "fails and reads good"),
        ({"verdict": verdict("fail", "Too small."), "summary": "Clean."}, "fails and the summary praises"),
        ({"verdict": verdict("pass"), "faults": [_FAULT]}, "passes with a strong fault"),
        ({"verdict": verdict("pass"), "reading": "bad"}, "passes and reads bad"),
        ({"verdict": verdict("review")}, "the verdict is not that of its reasons"),
        ({"confidence": {"level": "low", "reasons": []}}, "the confidence does not follow from its reasons"),
    ],
)
def test_a_contradiction_is_found(changes: dict[str, Any], found: str) -> None:
    assert found in kinds(**changes)


def test_a_verdict_that_blames_the_opposite_is_found() -> None:
    fault = _FAULT | {"fault": "underexposed", "message": "underexposed"}
    blames = verdict("fail", "It is overexposed.").model_dump()
    blames["reasons"][0] |= {"measure": "adjective", "adjective": "well-exposed", "dimension": None}
    assert "fail blames the opposite of a fault" in kinds(faults=[fault], verdict=blames)
    assert "fail blames what the summary praises" not in kinds(verdict=blames, summary="Sharp.")
    blames["reasons"][0]["adjective"] = "focused"
    assert "fail blames what the summary praises" in kinds(verdict=blames, summary="Sharp.")


def test_a_fault_that_the_exposure_rules_out_is_found() -> None:
    fault = _FAULT | {"fault": "overexposed", "message": "overexposed"}
    dark = {"mean_luminance": 0.1, "p99_luminance": 0.2, "clipped_shadows": 0.0, "clipped_highlights": 0.0}
    assert "the exposure rules a fault out" in kinds(faults=[fault], facts={"exposure": dark})


def test_models_that_contradict_each_other_are_found() -> None:
    models = {
        name: each.model_dump() for name, each in answer(0.625, calibration=calibration()).models.items()
    }
    apart = models | {"qualiclip": models["qualiclip"] | {"reading": "bad", "summary": ""}}
    assert "confident though the models read apart" in kinds(models=apart)
    disagreeing = models | {"qualiclip": models["qualiclip"] | {"percentile": 1.0}}
    assert "confident though the models disagree" in kinds(models=disagreeing)
    dark, bright = (_FAULT | {"fault": each, "message": each} for each in ("underexposed", "overexposed"))
    opposite = {
        name: each | {"faults": [fault], "reading": "fair"}
        for (name, each), fault in zip(models.items(), (dark, bright), strict=True)
    }
    assert "confident though the models name opposite faults" in kinds(models=opposite)


@pytest.mark.slow
def test_no_answer_contradicts_itself(tmp_path: Path) -> None:
    write_photographs(tmp_path)
    photographs = sorted(tmp_path.glob("*.png"))
    copies = [copy for each in photographs for copy in program.distorted_copies(each, 9, tmp_path)]
    scored, found = program.found_in([*photographs, *copies])
    assert scored == 10 * len(photographs)
    assert found == {}
