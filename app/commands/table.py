"""Scores for people: a row for each of several images, the worst first; all that matters of a single one."""

from dataclasses import dataclass
from typing import Final

from rich import box
from rich.table import Table as Grid

from app.commands.terminal import cell, console
from app.schemas.common import values_of
from app.schemas.policies import Verdict
from app.schemas.score import Detail, ModelAnswer, UntimedScore
from app.scoring.outcomes import FileName
from models.vocabulary import DIMENSIONS

_DIMENSIONS_FROM: Final = 100  # columns of the terminal
_NO_FAULT: Final = "none"
# Whatever is larger than a model's input is scaled down; in a table of photographs that would be every row.
_EXPECTED_WARNINGS: Final = frozenset({"scaled-down"})


@dataclass(frozen=True)
class _Row:
    path: FileName
    score: float
    models: dict[str, float]
    dimensions: dict[str, float]
    texts: dict[str, str]


class Table:
    """What is shown of answers. It holds a row for each: not meant for very many."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self._last: tuple[FileName, UntimedScore] | None = None

    def add(self, path: FileName, answer: UntimedScore) -> None:
        """Adds the answer for the image in a file."""
        models = {name: model.score for name, model in answer.models.items()}
        codes = dict.fromkeys(warning.partition(":")[0] for warning in answer.warnings)
        warnings = ", ".join(code for code in codes if code not in _EXPECTED_WARNINGS)
        texts = {
            "reading": answer.reading or "",
            "faults": _faults(answer.models[answer.model]),
            "verdict": "" if answer.verdict is None else _in_short(answer.verdict),
            "detail": "" if answer.detail is None else _detail(answer.detail),
            "warnings": warnings,
        }
        self._rows.append(_Row(path, answer.score, models, values_of(answer.dimensions), texts))
        self._last = (path, answer)

    def show(self) -> None:
        """Prints them, unless there are none."""
        if self._last is None:
            return
        if len(self._rows) == 1:
            _show_one(*self._last)
        else:
            self._show_all()

    def _show_all(self) -> None:
        out = console()
        first = self._rows[0]
        # A single model's score is the score.
        names = ["score", *(first.models if len(first.models) > 1 else ())]
        if out.width >= _DIMENSIONS_FROM:
            names += first.dimensions
        shown = [name for name in first.texts if any(row.texts[name] for row in self._rows)]
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
        grid.add_column("file", overflow="fold")
        for name in names:
            grid.add_column(name, justify="right", no_wrap=True)
        for name in shown:
            grid.add_column(name, overflow="fold")
        for row in sorted(self._rows, key=lambda row: row.score):
            values = {"score": row.score, **row.models, **row.dimensions}
            numbers = [f"{values[name]:.3f}" for name in names]
            grid.add_row(cell(row.path), *numbers, *(cell(row.texts[name]) for name in shown))
        out.print(grid)


def _in_short(verdict: Verdict) -> str:
    """The outcome, and what it is about."""
    about = dict.fromkeys(reason.about for reason in verdict.reasons)
    return f"{verdict.outcome}: {', '.join(about)}" if about else verdict.outcome


def _faults(model: ModelAnswer) -> str:
    """The phrases of the faults; nothing where none can be named."""
    if model.percentile is None:
        return ""
    return ", ".join(fault.message for fault in model.faults) or _NO_FAULT


def _detail(detail: Detail) -> str:
    """The worst of the tiles at native size."""
    values = {"sharpness": detail.sharpness, "cleanness": detail.cleanness}
    known = {"score": detail.score} | {name: value for name, value in values.items() if value is not None}
    return ", ".join(f"{name} {value:.3f}" for name, value in known.items())


def _in_words(model: ModelAnswer) -> str:
    """The reading, and where the weights are calibrated, what it is made of."""
    if model.percentile is None:
        return f"{model.reading} (its weights carry no calibration, so no faults are named)"
    return (
        f"{model.reading}, better than {model.percentile:.0f} of 100 real photographs; "
        f"faults: {_faults(model)}"
    )


def show_verdict(verdict: Verdict) -> None:
    """Prints a verdict and its reasons."""
    out = console()
    out.print(f"{cell(verdict.policy)}: {verdict.outcome}", soft_wrap=True)
    for reason in verdict.reasons:
        measured = f"{reason.value:.3g} against {reason.limit:.3g}"
        out.print(f"  {reason.outcome}: {cell(reason.message)} ({measured})", soft_wrap=True)


def _show_one(path: FileName, answer: UntimedScore) -> None:
    out = console()
    image = answer.image
    out.print(f"{cell(path)}: {image.format}, {image.width} x {image.height}", soft_wrap=True)
    if answer.reading is not None:
        out.print(f"[bold]{answer.reading.capitalize()}[/bold]: {answer.summary}", soft_wrap=True)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("")
    for name in answer.models:
        grid.add_column(name, justify="right")
    grid.add_row("score", *(f"{model.score:.3f}" for model in answer.models.values()), style="bold")
    found = [values_of(model.dimensions) for model in answer.models.values()]
    for dimension in DIMENSIONS if any(found) else ():
        grid.add_row(dimension, *(f"{values[dimension]:.3f}" if values else "" for values in found))
    out.print(grid)
    for name, model in answer.models.items():
        out.print(f"{name}: {_in_words(model)}.", soft_wrap=True)
    if answer.confidence is not None:
        for doubt in answer.confidence.reasons:
            out.print(f"uncertain: {cell(doubt)}", soft_wrap=True)
    if answer.facts is not None:
        light = answer.facts.exposure
        out.print(
            f"exposure: luminance {light.mean_luminance:.3f} on average and {light.p99_luminance:.3f} in the "
            f"brightest hundredth; {light.clipped_shadows:.1%} clipped to black, "
            f"{light.clipped_highlights:.1%} to white.",
            soft_wrap=True,
        )
    if answer.detail is not None:
        out.print(f"worst part at native size: {_detail(answer.detail)}.", soft_wrap=True)
    if answer.verdict is not None:
        show_verdict(answer.verdict)
    for warning in answer.warnings:
        out.print(cell(warning), soft_wrap=True)
