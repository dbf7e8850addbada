"""A row per image: what tables say of an answer to ``POST /score``, by their columns.

Whatever the file's format, a row is a dict from column to value; None where there is nothing to say.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.fetching.buckets import bucket_place
from app.schemas.columns import columns
from app.schemas.score import UntimedScore
from app.scoring.outcomes import FileName, ScoredFile

Row = dict[str, Any]
ONLY_OVER_HTTP: Final = frozenset({"timing_ms", "batch", "quality_map", "embedding"})
"""Fields of an answer that say nothing of the image, or too much for a line."""


def answer_fields(scored: ScoredFile) -> Row:
    """The line of JSON of a file: its name, and the answer's fields or the problem."""
    file = {"file": str(scored.path)}
    if scored.answer is None:
        return {**file, "problem": scored.problem}
    return {**file, **scored.answer.model_dump(mode="json", exclude=set(ONLY_OVER_HTTP))}


def flat(fields: Mapping[str, Any]) -> Row:
    """The row of a line of JSON (:func:`answer_fields`); a failure's has but its name and the problem.

    Lines that an earlier version wrote, or a service of one, have nothing in the columns that are new.
    """
    if fields.get("problem") is not None:
        return {"file": fields["file"], "problem": fields["problem"]}
    known = columns(tuple(fields["models"]), detail=fields.get("detail") is not None)
    return {column.name: column.value(fields) for column in known} | {"file": fields["file"]}


def weights_of(answer: UntimedScore) -> dict[str, str]:
    """The digest of the weights that each model's part of an answer comes from."""
    return {name: model.weights.sha256 for name, model in answer.models.items()}


def path_of(row: Mapping[str, Any]) -> FileName:
    """The file of a row, or the object in a bucket."""
    return named_by(row["file"])


def named_by(text: str) -> FileName:
    """What a name is that was typed, or that stands in a row."""
    return bucket_place(text) or Path(text)
