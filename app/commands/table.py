"""Scores for people: a row for each of several images, all that matters of a single one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table as Grid

from app.bulk.rows import Calibrations, described_by
from app.commands.terminal import cell, console
from app.schemas.common import values_of
from app.schemas.policies import Verdict
from app.schemas.score import UntimedScore
from models.calibration import Description
from models.vocabulary import DIMENSIONS

_DIMENSIONS_FROM: Final = 100  # columns of the terminal
_NO_FAULT: Final = "none"
# Whatever is larger than a model's input is scaled down; in a table of photographs that would be every row.
_EXPECTED_WARNINGS: Final = frozenset({"scaled-down"})


@dataclass(frozen=True)
class _Row:
    path: Path
    score: float
    models: dict[str, float]
    dimensions: dict[str, float]
    texts: dict[str, str]


class Table:
    """What is shown of answers. It holds a row for each: not meant for very many."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self._last: tuple[Path, UntimedScore, dict[str, Description]] | None = None

    def add(self, path: Path, answer: UntimedScore, calibrations: Calibrations) -> None:
        """Adds the answer for a file.

        Args:
            path: of the file.
            answer: of its image.
            calibrations: of the models' weights.
        """
        described = {
            name: described_by(model.model_dump(), calibrations.get(name))
            for name, model in answer.models.items()
        }
        own = described[answer.model]
        models = {name: model.score for name, model in answer.models.items()}
        codes = dict.fromkeys(warning.partition(":")[0] for warning in answer.warnings)
        warnings = ", ".join(code for code in codes if code not in _EXPECTED_WARNINGS)
        texts = {
            "reading": own.reading,
            "faults": _faults(own),
            "verdict": "" if answer.verdict is None else _in_short(answer.verdict),
            "warnings": warnings,
        }
        self._rows.append(_Row(path, answer.score, models, values_of(answer.dimensions), texts))
        self._last = (path, answer, described)

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
        for row in self._rows:
            values = {"score": row.score, **row.models, **row.dimensions}
            numbers = [f"{values[name]:.3f}" for name in names]
            grid.add_row(cell(row.path), *numbers, *(cell(row.texts[name]) for name in shown))
        out.print(grid)


def _in_short(verdict: Verdict) -> str:
    """The outcome, and what it is about."""
    about = dict.fromkeys(reason.about for reason in verdict.reasons)
    return f"{verdict.outcome}: {', '.join(about)}" if about else verdict.outcome


def _faults(described: Description) -> str:
    """The phrases of the faults; nothing where none can be named."""
    if described.percentile is None:
        return ""
    return ", ".join(described.phrases) or _NO_FAULT


def _in_words(described: Description) -> str:
    """The reading, and where the weights are calibrated, what it is made of."""
    if described.percentile is None:
        return f"{described.reading} (its weights carry no calibration, so no faults are named)"
    return (
        f"{described.reading}, better than {described.percentile:.0f} of 100 real photographs; "
        f"faults: {_faults(described)}"
    )


def _show_one(path: Path, answer: UntimedScore, described: Mapping[str, Description]) -> None:
    out = console()
    image = answer.image
    out.print(f"{cell(path)}: {image.format}, {image.width} x {image.height}", soft_wrap=True)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("")
    for name in answer.models:
        grid.add_column(name, justify="right")
    grid.add_row("score", *(f"{model.score:.3f}" for model in answer.models.values()), style="bold")
    found = [values_of(model.dimensions) for model in answer.models.values()]
    for dimension in DIMENSIONS if any(found) else ():
        grid.add_row(dimension, *(f"{values[dimension]:.3f}" if values else "" for values in found))
    out.print(grid)
    for name, each in described.items():
        out.print(f"{name}: {_in_words(each)}.", soft_wrap=True)
    if answer.facts is not None:
        light = answer.facts.exposure
        out.print(
            f"exposure: luminance {light.mean_luminance:.3f} on average and {light.p99_luminance:.3f} in the "
            f"brightest hundredth; {light.clipped_shadows:.1%} clipped to black, "
            f"{light.clipped_highlights:.1%} to white.",
            soft_wrap=True,
        )
    if answer.verdict is not None:
        out.print(f"{cell(answer.verdict.policy)}: {answer.verdict.outcome}", soft_wrap=True)
        for reason in answer.verdict.reasons:
            measured = f"{reason.value:.3g} against {reason.limit:.3g}"
            out.print(f"  {reason.outcome}: {cell(reason.message)} ({measured})", soft_wrap=True)
    for warning in answer.warnings:
        out.print(cell(warning), soft_wrap=True)
