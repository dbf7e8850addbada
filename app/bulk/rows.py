"""A row per image: what tables say of an answer to ``POST /score``, flat, and the columns that they have.

Whatever the file's format, a row is a dict from column to value; None where there is nothing to say.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from app.schemas.exposure import ExposureMeasure
from app.schemas.score import UntimedScore
from app.scoring.outcomes import ScoredFile
from models.calibration import Calibration, Description, describe
from models.vocabulary import DIMENSIONS

Row = dict[str, Any]
Kind = Literal["text", "texts", "whole", "number"]
Calibrations = Mapping[str, Calibration | None]
"""By model, that of the weights in use; None where they carry none."""

ONLY_OVER_HTTP: Final = frozenset({"timing_ms", "batch", "quality_map"})
"""Fields of an answer that say nothing of the image, or too much for a line."""

_DECIMALS: Final = 6  # beyond what float32 tells apart


_EXPOSURE: Final[Mapping[ExposureMeasure, str]] = {
    "mean_luminance": "of the picture, 0 to 1: mean of linear luminance",
    "p99_luminance": "of the picture, 0 to 1: 99th percentile of linear luminance",
    "clipped_shadows": "share of pixels with a channel at black, 0 to 1",
    "clipped_highlights": "share of pixels with a channel at white, 0 to 1",
}


@dataclass(frozen=True)
class Column:
    """A column: its name, what its values are, and what they say.

    ``texts`` are lists of text, ``whole`` integers.
    """

    name: str
    kind: Kind
    meaning: str


def columns(models: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a table of these models' scores, in their order."""
    return (
        Column("file", "text", "as it was named on the command line, or found in a folder named there"),
        Column("score", "number", "of the model in `model`; 0 to 1, higher is better"),
        Column("model", "text", "whose score and dimensions these are"),
        *(Column(name, "number", "0 to 1, higher is better") for name in DIMENSIONS),
        Column("percentile", "number", "of the score among real photographs; of calibrated weights"),
        Column("reading", "text", "of the score: excellent, good, fair, poor or bad"),
        Column("verdict", "text", "pass, review or fail"),
        Column("reasons", "texts", "why it does not pass"),
        Column("words", "texts", "the faults that it has, by that model; of calibrated weights"),
        Column("warnings", "texts", "why the score should be read with care"),
        Column("problem", "text", "why there is no score"),
        Column("width", "whole", "pixels, upright"),
        Column("height", "whole", "pixels, upright"),
        Column("format", "text", "of the file"),
        Column("bytes", "whole", "of the file"),
        Column("sha256", "text", "of the file"),
        *(Column(name, "number", meaning) for name, meaning in _EXPOSURE.items()),
        *_of_models(models),
    )


def answer_fields(scored: ScoredFile) -> Row:
    """The line of JSON of a file: its name, and the answer's fields or the problem."""
    file = {"file": str(scored.path)}
    if scored.answer is None:
        return {**file, "problem": scored.problem}
    return {**file, **scored.answer.model_dump(mode="json", exclude=set(ONLY_OVER_HTTP))}


def flat(fields: Mapping[str, Any], calibrations: Calibrations) -> Row:
    """The row of a line of JSON (:func:`answer_fields`); a failure's has but its name and the problem.

    Args:
        fields: of the line.
        calibrations: of the models; one that is missing is taken for None.
    """
    if fields.get("problem") is not None:
        return {"file": fields["file"], "problem": fields["problem"]}
    model = fields["models"][fields["model"]]
    verdict = fields.get("verdict") or {}
    image = fields["image"]
    described = described_by(model, calibrations.get(fields["model"]))
    row: Row = {
        "file": fields["file"],
        "score": _rounded(fields["score"]),
        "model": fields["model"],
        **_dimensions(fields["dimensions"]),
        "percentile": None if described.percentile is None else round(described.percentile, 1),
        "reading": described.reading,
        "verdict": verdict.get("outcome"),
        "reasons": [reason["message"] for reason in verdict.get("reasons", ())],
        "words": described.phrases,
        "warnings": fields["warnings"],
        **{name: image[name] for name in ("width", "height", "format", "bytes", "sha256")},
    }
    # Lines that an earlier version wrote, or a service of one, have no facts.
    if (facts := fields.get("facts")) is not None:
        row |= {name: _rounded(facts["exposure"][name]) for name in _EXPOSURE}
    for name, answer in fields["models"].items():
        row[f"{name}_score"] = _rounded(answer["score"])
        row |= {f"{name}_{key}": value for key, value in _dimensions(answer["dimensions"]).items()}
    return row


def described_by(model: Mapping[str, Any], calibration: Calibration | None) -> Description:
    """What a model's part of an answer amounts to.

    Args:
        model: the fields of the part.
        calibration: of the weights that it comes from.
    """
    probabilities = {
        word["adjective"]: word["probability"]
        for word in model["adjectives"]
        if word["probability"] is not None  # the words beyond the 40 have none
    }
    return describe(model["score"], probabilities, calibration)


def weights_of(answer: UntimedScore) -> dict[str, str]:
    """The digest of the weights that each model's part of an answer comes from."""
    return {name: model.weights.sha256 for name, model in answer.models.items()}


def path_of(row: Mapping[str, Any]) -> Path:
    """The file of a row."""
    return Path(row["file"])


def _of_models(models: Sequence[str]) -> Iterator[Column]:
    for model in models:
        yield Column(f"{model}_score", "number", f"of {model}; 0 to 1, higher is better")
        for dimension in DIMENSIONS:
            yield Column(f"{model}_{dimension}", "number", f"likewise, of {model}")


def _dimensions(values: Mapping[str, float] | None) -> Row:
    """Of a model that has no adjectives, nothing."""
    return {name: None if values is None else _rounded(values[name]) for name in DIMENSIONS}


def _rounded(value: float) -> float:
    return round(value, _DECIMALS)
