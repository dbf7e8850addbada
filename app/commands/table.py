"""Scores for people: a row for each of several images, all that matters of a single one."""

from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table as Grid

from app.api.schemas import UntimedScore, Verdict
from app.commands.terminal import cell, console

_DIMENSIONS_FROM: Final = 100  # columns of the terminal
_WORDS_SHOWN: Final = 6
# Whatever is larger than a model's input is scaled down; in a table of photographs that would be every row.
_EXPECTED_WARNINGS: Final = frozenset({"scaled-down"})


class Table:
    """What is shown of answers. It holds a row for each: not meant for very many."""

    def __init__(self) -> None:
        self._rows: list[tuple[Path, float, dict[str, float], dict[str, float], str, str]] = []
        self._last: tuple[Path, UntimedScore] | None = None

    def add(self, path: Path, answer: UntimedScore) -> None:
        models = {name: model.score for name, model in answer.models.items()}
        codes = dict.fromkeys(warning.partition(":")[0] for warning in answer.warnings)
        warnings = ", ".join(code for code in codes if code not in _EXPECTED_WARNINGS)
        verdict = "" if answer.verdict is None else _in_short(answer.verdict)
        self._rows.append((path, answer.score, answer.dimensions.model_dump(), models, verdict, warnings))
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
        _, _, dimensions, models, _, _ = self._rows[0]
        # A single model's score is the score.
        names = ["score", *(models if len(models) > 1 else ())]
        if out.width >= _DIMENSIONS_FROM:
            names += dimensions
        texts = {
            "verdict": [verdict for *_, verdict, _ in self._rows],
            "warnings": [warnings for *_, warnings in self._rows],
        }
        texts = {name: column for name, column in texts.items() if any(column)}
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
        grid.add_column("file", overflow="fold")
        for name in names:
            grid.add_column(name, justify="right", no_wrap=True)
        for name in texts:
            grid.add_column(name, overflow="fold")
        for number, (path, score, dimensions, models, _, _) in enumerate(self._rows):
            values = {"score": score, **models, **dimensions}
            numbers = [f"{values[name]:.3f}" for name in names]
            grid.add_row(cell(path), *numbers, *(cell(column[number]) for column in texts.values()))
        out.print(grid)


def _in_short(verdict: Verdict) -> str:
    """The outcome, and what it is about."""
    about = dict.fromkeys(reason.about for reason in verdict.reasons)
    return f"{verdict.outcome}: {', '.join(about)}" if about else verdict.outcome


def _show_one(path: Path, answer: UntimedScore) -> None:
    out = console()
    image = answer.image
    out.print(f"{cell(path)}: {image.format}, {image.width} x {image.height}", soft_wrap=True)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("")
    for name in answer.models:
        grid.add_column(name, justify="right")
    grid.add_row("score", *(f"{model.score:.3f}" for model in answer.models.values()), style="bold")
    for dimension in answer.dimensions.model_dump():
        values = (getattr(model.dimensions, dimension) for model in answer.models.values())
        grid.add_row(dimension, *(f"{value:.3f}" for value in values))
    out.print(grid)
    for name, model in answer.models.items():
        decided = sorted(model.adjectives, key=lambda word: word.probability or 0.0, reverse=True)
        words = ", ".join(f"{word.adjective} {word.probability:.2f}" for word in decided[:_WORDS_SHOWN])
        out.print(f"{name} finds it {words}.", soft_wrap=True)
    if answer.verdict is not None:
        out.print(f"{cell(answer.verdict.policy)}: {answer.verdict.outcome}", soft_wrap=True)
        for reason in answer.verdict.reasons:
            measured = f"{reason.value:.3g} against {reason.limit:.3g}"
            out.print(f"  {reason.outcome}: {cell(reason.message)} ({measured})", soft_wrap=True)
    for warning in answer.warnings:
        out.print(cell(warning), soft_wrap=True)
