"""What in an answer contradicts something else in it: reading, faults, summary, verdict, confidence."""

from collections.abc import Iterator, Mapping
from typing import Final

from app.schemas.measured.exposure import MeasuredExposure
from app.schemas.score import ModelAnswer, UntimedScore
from app.scoring.readings import DISAGREEMENT
from models.calibration import READINGS
from models.faults import EXCLUSIVE, FaultName
from models.vocabulary import ADJECTIVES, PAIRS, Dimension

_FAIR: Final = READINGS.index("fair")
_FAR_APART: Final = 3
"""Readings between two models, of which one must be wrong: excellent and poor, or good and bad."""
_PRAISE: Final[Mapping[str, Dimension]] = {"sharp": "sharpness", "clean": "cleanness", "contrast": "contrast"}
_NO_FAULT: Final = "Nothing stands out as a fault."
_DIMENSION_OF: Final = {each.word: each.dimension for each in ADJECTIVES}
_OPPOSITE: Final[Mapping[str, FaultName]] = {
    one: other for pair in EXCLUSIVE for one, other in (pair, pair[::-1])
}
_NEGATIVE: Final = {pair.positive: pair.negative for pair in PAIRS}


def contradictions(answer: UntimedScore) -> list[str]:
    """Each contradiction in an answer, a kind and after `` / `` what it is about; of a sound answer none."""
    return [
        *(f"{name}: {each}" for name, model in answer.models.items() for each in _of_words(model)),
        *_of_words(answer),
        *_of_copies(answer),
        *_of_verdict(answer),
        *_of_confidence(answer),
        *_of_exposure(answer),
    ]


def praised(summary: str) -> set[Dimension]:
    """The dimensions that a summary praises."""
    words = set(summary.lower().rstrip(".").replace(",", "").split()) if _is_praise(summary) else set()
    return {dimension for word, dimension in _PRAISE.items() if word in words}


def _is_praise(summary: str) -> bool:
    return summary.startswith(("Sharp", "Clean"))


def _of_words(said: ModelAnswer | UntimedScore) -> Iterator[str]:
    reading, faults = said.reading, said.faults
    assert reading is not None
    strong = [fault for fault in faults if fault.severity == "strong"]
    if strong and READINGS.index(reading) < _FAIR:
        yield f"a strong fault reads {reading} / {strong[0].message}"
    if faults and reading == "excellent":
        yield f"excellent with a fault / {faults[0].message}"
    if faults[: len(strong)] != strong:
        yield f"a slight fault comes before a strong one / {faults}"
    names = [fault.fault for fault in faults]
    if len(set(names)) < len(names):
        yield f"a fault is named twice / {names}"
    places = {(fault.fault, fault.region) for fault in faults}
    if any((_OPPOSITE.get(name), region) in places for name, region in places):
        yield f"opposite faults of one place / {names}"
    praises = _is_praise(said.summary) or said.summary == _NO_FAULT
    if faults and praises:
        yield f"the summary praises what has a fault / {said.summary}"
    if reading in ("poor", "bad") and praises:
        yield f"the summary of what reads {reading} praises / {said.summary}"
    # A region is said once for all its faults.
    if faults and faults[0].message.rpartition(" is ")[2] not in said.summary.lower():
        yield f"the summary leaves out the worst fault / {faults[0].message} / {said.summary}"


def _of_copies(answer: UntimedScore) -> Iterator[str]:
    chosen = answer.models[answer.model]
    for name in ("score", "percentile", "faults", "dimensions"):
        if getattr(answer, name) != getattr(chosen, name):
            yield f"{name} is not that of the model / {answer.model}"


def _of_verdict(answer: UntimedScore) -> Iterator[str]:
    verdict, reading = answer.verdict, answer.reading
    if verdict is None or reading is None:
        return
    outcomes = [reason.outcome for reason in verdict.reasons]
    if verdict.outcome != (outcomes[0] if outcomes else "pass"):
        yield f"the verdict is not that of its reasons / {verdict}"
    if verdict.outcome == "fail" and READINGS.index(reading) < _FAIR:
        yield f"fails and reads {reading}"
    if verdict.outcome == "fail" and (answer.summary == _NO_FAULT or _is_praise(answer.summary)):
        yield f"fails and the summary praises / {verdict.reasons[0].message} / {answer.summary}"
    if verdict.outcome == "pass" and reading == "bad":
        yield "passes and reads bad"
    if verdict.outcome == "pass" and any(fault.severity == "strong" for fault in answer.faults):
        yield f"passes with a strong fault / {answer.faults[0].message}"
    for reason in verdict.reasons:
        if reason.adjective is None:
            continue
        if _DIMENSION_OF[reason.adjective] in praised(answer.summary):
            yield f"{verdict.outcome} blames what the summary praises / {reason.message} / {answer.summary}"
        blamed = {reason.adjective, _NEGATIVE.get(reason.adjective)}
        if blamed & {fault.fault for fault in answer.faults}:
            continue  # of a part, while the rest has the opposite
        for fault in answer.faults:
            if fault.region == "whole" and _OPPOSITE.get(fault.fault) in blamed:
                yield f"{verdict.outcome} blames the opposite of a fault / {reason.message} / {fault.message}"


def _of_confidence(answer: UntimedScore) -> Iterator[str]:
    confidence = answer.confidence
    assert confidence is not None
    if (confidence.level == "low") != bool(confidence.reasons):
        yield f"the confidence does not follow from its reasons / {confidence}"
    if confidence.level == "low":
        return
    known = [model.percentile for model in answer.models.values() if model.percentile is not None]
    if known and max(known) - min(known) >= DISAGREEMENT:
        yield f"confident though the models disagree / {known}"
    readings = [model.reading for model in answer.models.values() if model.reading is not None]
    places = [READINGS.index(reading) for reading in readings]
    if max(places) - min(places) >= _FAR_APART:
        yield f"confident though the models read apart / {readings}"
    strong = {
        (fault.fault, fault.region)
        for model in answer.models.values()
        for fault in model.faults
        if fault.severity == "strong"
    }
    for name, region in strong:
        if (_OPPOSITE.get(name), region) in strong:
            yield f"confident though the models name opposite faults / {name}"


def _of_exposure(answer: UntimedScore) -> Iterator[str]:
    names = {fault.fault for fault in answer.faults if fault.region == "whole"}
    if answer.image.monochrome and names & {"dull", "oversaturated"}:
        yield "a fault of color without color"
    assert answer.facts is not None
    exposure = MeasuredExposure(**answer.facts.exposure.model_dump())
    for name in sorted(names & exposure.excluded):
        yield f"the exposure rules a fault out / {name}"
