"""An answer in a notebook: a line, a card, and a flat row for a data frame."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, Protocol

_COLORS: Final[Mapping[str | None, str]] = {
    "excellent": "#1a7f37",
    "good": "#1a7f37",
    "fair": "#9a6700",
    "poor": "#bc4c00",
    "bad": "#cf222e",
}


class Shown(Protocol):
    """The fields of an answer that are shown, in full or in short."""

    @property
    def score(self) -> float: ...
    @property
    def model(self) -> str: ...
    @property
    def reading(self) -> str | None: ...
    @property
    def percentile(self) -> float | None: ...
    @property
    def summary(self) -> str: ...
    @property
    def faults(self) -> Sequence[Any]: ...
    @property
    def verdict(self) -> Any: ...


def short_line(answer: Shown) -> str:
    """What the class's ``repr`` gives: one short line."""
    parts = [f"score={answer.score:.4f}", f"model={answer.model!r}", f"reading={answer.reading!r}"]
    parts.append(f"faults={[fault.message for fault in answer.faults]!r}")
    if answer.verdict is not None:
        parts.append(f"verdict={answer.verdict.outcome!r}")
    return f"{type(answer).__name__}({', '.join(parts)})"


def html_card(answer: Shown, picture: str = "") -> str:
    """A card in HTML, without scripts and styles of a page.

    Args:
        answer: that is shown.
        picture: address of the image, for example of the kind ``data:``; none where it is empty.
    """
    image = f'<img src="{escape(picture)}" alt="" style="max-height:8em;float:left;margin-right:1em">'
    color = _COLORS.get(answer.reading, "inherit")
    percentile = ""
    if answer.percentile is not None:
        percentile = f", better than {answer.percentile:.0f} of 100 real photographs"
    faults = "".join(f"<li>{escape(fault.message)} ({fault.severity})</li>" for fault in answer.faults)
    verdict = "" if answer.verdict is None else f"<div>{escape(_verdict(answer.verdict))}</div>"
    return (
        f'<div style="overflow:hidden">{image if picture else ""}'
        f'<div><b style="color:{color}">{escape((answer.reading or "").capitalize())}</b> '
        f"({escape(answer.model)} {answer.score:.2f}{percentile})</div>"
        f"<div>{escape(answer.summary)}</div>{f'<ul>{faults}</ul>' if faults else ''}{verdict}</div>"
    )


def _verdict(verdict: Any) -> str:
    reasons = dict.fromkeys(reason.message for reason in verdict.reasons)
    return " ".join([f"{verdict.policy}: {verdict.outcome}.", *reasons])
