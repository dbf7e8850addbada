"""Answers in a notebook: short, complete, and harmless whatever stands in them."""

from typing import Any

from app.schemas.score import NamedFault, ScoreAnswer
from app.schemas.summary import UntimedSummary
from models.vocabulary import DIMENSIONS
from tests.app.client.answers import score_body


def answer(**changes: Any) -> ScoreAnswer:
    body = score_body(0.25) | {"reading": "poor", "percentile": 11.4, "summary": "The right half is blurry."}
    fault = NamedFault(
        fault="blur", severity="strong", confidence=0.9, region="right", message="the right half is blurry"
    )
    return ScoreAnswer.model_validate(body | {"faults": [fault.model_dump()]} | changes)


VERDICT = {
    "policy": "<upload>",
    "outcome": "fail",
    "reasons": [
        {
            "measure": "score",
            "model": "bpclip",
            "dimension": None,
            "adjective": None,
            "outcome": outcome,
            "value": 0.2,
            "limit": 0.3,
            "message": "Too bad & blurred.",
        }
        for outcome in ("fail", "review")
    ],
}


def test_the_representation_is_a_short_line() -> None:
    assert repr(answer()) == (
        "ScoreAnswer(score=0.2500, model='bpclip', reading='poor', faults=['the right half is blurry'])"
    )
    assert repr(UntimedSummary.of(answer())).startswith("UntimedSummary(score=0.2500, ")
    assert repr(answer(verdict=VERDICT)).endswith(", verdict='fail')")


def test_the_card_says_all_and_escapes_it() -> None:
    for shown in (answer(verdict=VERDICT), UntimedSummary.of(answer(verdict=VERDICT))):
        card = shown._repr_html_()
        for part in (
            "Poor</b> (bpclip 0.25, better than 11 of 100 real photographs)",
            "<li>the right half is blurry (strong)</li>",
            "&lt;upload&gt;: fail. Too bad &amp; blurred.</div>",
        ):
            assert part in card
        assert card.count("Too bad") == 1
        assert "<img" not in card


def test_a_row_is_flat_and_says_nothing_twice() -> None:
    row = answer(verdict=VERDICT, warnings=["one", "two"]).row()
    assert all(value is None or isinstance(value, str | int | float) for value in row.values())
    assert row["faults"] == "the right half is blurry"
    assert row["reasons"] == "Too bad & blurred."
    assert row["warnings"] == "one | two"
    assert [row[name] for name in (*DIMENSIONS, "bpclip_score", "width")] == [0.25] * 7 + [64]
