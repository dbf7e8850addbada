"""The fields of an answer in a table, in their order.

One list for files of scores, the page's exports, the report and data frames.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from app.schemas.measured.exposure import ExposureMeasure
from models.vocabulary import DIMENSIONS

Kind = Literal["text", "texts", "whole", "number"]
BETWEEN_TEXTS: Final = " | "
"""What stands between several texts in one cell."""
EACH: Final = "*"
"""In a path, all members of a list."""

_DECIMALS: Final = 6  # beyond what float32 tells apart

_EXPOSURE: Final[Mapping[ExposureMeasure, str]] = {
    "mean_luminance": "of the picture, 0 to 1: mean of linear luminance",
    "p99_luminance": "of the picture, 0 to 1: 99th percentile of linear luminance",
    "clipped_shadows": "share of pixels with a channel at black, 0 to 1",
    "clipped_highlights": "share of pixels with a channel at white, 0 to 1",
}
_DETAIL: Final = {
    "score": "least score of a tile at native size, by the model in `model`; 0 to 1, higher is better",
    "sharpness": "least sharpness of a tile at native size",
    "cleanness": "least cleanness of a tile at native size; 1 is no noise",
}


@dataclass(frozen=True)
class Column:
    """A field of a table.

    Attributes:
        name: of the column.
        kind: what its values are: ``texts`` are lists of text, ``whole`` integers.
        meaning: what the values say.
        path: where the value stands in an answer to ``POST /score``, key by key; empty of what does not.
    """

    name: str
    kind: Kind
    meaning: str
    path: tuple[str, ...] = ()

    def value(self, answer: Mapping[str, Any]) -> Any:
        """The value in an answer (as JSON has it), each text once; None, or no texts, where it has none."""
        found = list(_at(answer, self.path)) if self.path else []
        if self.kind == "texts":
            return list(dict.fromkeys(found))
        value = found[0] if found else None
        return round(value, _DECIMALS) if self.kind == "number" and value is not None else value


@cache
def columns(models: tuple[str, ...], *, detail: bool = False) -> tuple[Column, ...]:
    """The columns of a table of scores, in their order.

    Args:
        models: that score.
        detail: whether tiles at native size are scored too.
    """
    return (
        Column("file", "text", "as it was named on the command line, or found in a folder named there"),
        _field("score", "number", "of the model in `model`; 0 to 1, higher is better"),
        _field("model", "text", "whose score, reading, faults and dimensions these are"),
        _field("reading", "text", "of the score: excellent, good, fair, poor or bad"),
        _field("percentile", "number", "of the score among real photographs; of calibrated weights"),
        _field("summary", "text", "what stands out, one sentence"),
        Column("faults", "texts", "the worst first; of calibrated weights", ("faults", EACH, "message")),
        Column("confidence", "text", "high or low", ("confidence", "level")),
        Column("doubts", "texts", "why the confidence is low", ("confidence", "reasons", EACH)),
        Column("policy", "text", "that judged", ("verdict", "policy")),
        Column("verdict", "text", "pass, review or fail", ("verdict", "outcome")),
        Column("reasons", "texts", "why it does not pass", ("verdict", "reasons", EACH, "message")),
        Column("warnings", "texts", "why the score should be read with care", ("warnings", EACH)),
        Column("problem", "text", "why there is no score"),
        *(_field(name, "number", "0 to 1, higher is better", "dimensions") for name in DIMENSIONS),
        _field("width", "whole", "pixels, upright", "image"),
        _field("height", "whole", "pixels, upright", "image"),
        _field("format", "text", "of the file", "image"),
        _field("bytes", "whole", "of the file", "image"),
        _field("sha256", "text", "of the file", "image"),
        *(_field(name, "number", meaning, "facts", "exposure") for name, meaning in _EXPOSURE.items()),
        *(
            Column(f"detail_{name}", "number", meaning, ("detail", name))
            for name, meaning in (_DETAIL if detail else {}).items()
        ),
        *_of_models(models),
    )


def _field(name: str, kind: Kind, meaning: str, *within: str) -> Column:
    return Column(name, kind, meaning, (*within, name))


def _of_models(models: Sequence[str]) -> Iterator[Column]:
    for model in models:
        yield Column(
            f"{model}_score", "number", f"of {model}; 0 to 1, higher is better", ("models", model, "score")
        )
        for name in DIMENSIONS:
            path = ("models", model, "dimensions", name)
            yield Column(f"{model}_{name}", "number", f"likewise, of {model}", path)


def _at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """What stands at a path; nothing where it leads nowhere, as in answers of earlier versions."""
    if value is None:
        return
    if not path:
        yield value
    elif path[0] == EACH:
        for each in value:
            yield from _at(each, path[1:])
    else:
        yield from _at(value.get(path[0]), path[1:])
