"""``iqa score``: image files scored in this process."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich import box
from rich.table import Table

from app.commands.flags import IN_PROCESS, with_settings
from app.commands.terminal import SOME_FAILED, Meter, cell, complain, console, reported, shown, stoppable
from app.settings import Settings

if TYPE_CHECKING:  # with these comes torch, for which --help is not to wait
    from app.api.schemas import UntimedScore
    from app.commands.scoring import Scored

_ONLY_OVER_HTTP: Final = frozenset({"timing_ms", "batch", "quality_map"})
_DIMENSIONS_FROM: Final = 100  # columns of the terminal
_WORDS_SHOWN: Final = 6
# Whatever is larger than a model's input is scaled down; in a table of photographs that would be every row.
_EXPECTED_WARNINGS: Final = frozenset({"scaled-down"})


@reported
@with_settings(*IN_PROCESS)
def score(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Image files, and folders of them.", show_default=False),
    ],
    settings: Settings,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into the folders within folders too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each image, as POST /score answers it.")
    ] = False,
) -> None:
    """Score image files.

    The service is not needed: the models are loaded here. Scores are from 0 to 1, higher is better.

    Exit status: 0 if all were scored; 1 if some files could not be, each of which is named at the end; 2 for
    wrong usage, settings or weights.
    """
    from app.commands.scoring import Scorer, collect

    paths, failures = collect(files, recursive=recursive)
    scores = _Scores()
    count = 0
    interrupted = None
    if paths:
        scorer = Scorer(settings)
        with Meter("scoring", len(paths)) as meter, stoppable() as stopped:
            for scored in scorer.score(paths):
                meter.advance()
                if scored.answer is None:
                    failures.append(scored)
                else:
                    count += 1
                    if as_json:
                        meter.print(to_json(scored.path, scored.answer))
                    else:
                        scores.add(scored.path, scored.answer)
                if stopped():
                    # What is done is still worth seeing.
                    interrupted = KeyboardInterrupt(f"Interrupted after {meter.done} of {len(paths)} files.")
                    break
    scores.show()
    report_failures(failures, count)
    if interrupted is not None:
        raise interrupted
    if failures:
        raise typer.Exit(SOME_FAILED)


def to_json(path: Path, answer: "UntimedScore") -> str:
    """One line: the file's name and the answer's fields."""
    fields = answer.model_dump(mode="json", exclude=set(_ONLY_OVER_HTTP))
    return json.dumps({"file": str(path), **fields}, ensure_ascii=False)


def report_failures(failures: "list[Scored]", scored: int) -> None:
    """A line on standard error for each file that failed, and how many they are beside those that did not."""
    for failure in failures:
        complain(f"{shown(failure.path)}: {failure.problem}")
    if failures and len(failures) + scored > 1:
        complain(f"{len(failures)} could not be scored, {scored} were.")


class _Scores:
    """What is shown of the answers: a row for each of several, all that matters of a single one."""

    def __init__(self) -> None:
        self._rows: list[tuple[Path, float, dict[str, float], dict[str, float], str]] = []
        self._last: tuple[Path, UntimedScore] | None = None

    def add(self, path: Path, answer: "UntimedScore") -> None:
        models = {name: model.score for name, model in answer.models.items()}
        codes = dict.fromkeys(warning.partition(":")[0] for warning in answer.warnings)
        warnings = ", ".join(code for code in codes if code not in _EXPECTED_WARNINGS)
        self._rows.append((path, answer.score, answer.dimensions.model_dump(), models, warnings))
        self._last = (path, answer)

    def show(self) -> None:
        """Prints them, unless there are none."""
        if self._last is None:
            return
        if len(self._rows) == 1:
            _show_one(*self._last)
        else:
            self._show_table()

    def _show_table(self) -> None:
        out = console()
        _, _, dimensions, models, _ = self._rows[0]
        with_dimensions = out.width >= _DIMENSIONS_FROM
        with_warnings = any(warnings for *_, warnings in self._rows)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("file", overflow="fold")
        # A single model's score is the score.
        names = ["score", *(models if len(models) > 1 else ()), *(dimensions if with_dimensions else ())]
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        if with_warnings:
            table.add_column("warnings", overflow="fold")
        for path, score, dimensions, models, warnings in self._rows:
            values = {"score": score, **models, **dimensions}
            numbers = [f"{values[name]:.3f}" for name in names]
            table.add_row(cell(path), *numbers, *([cell(warnings)] if with_warnings else []))
        out.print(table)


def _show_one(path: Path, answer: "UntimedScore") -> None:
    out = console()
    image = answer.image
    out.print(f"{cell(path)}: {image.format}, {image.width} x {image.height}", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in answer.models:
        table.add_column(name, justify="right")
    table.add_row("score", *(f"{model.score:.3f}" for model in answer.models.values()), style="bold")
    for dimension in answer.dimensions.model_dump():
        values = (getattr(model.dimensions, dimension) for model in answer.models.values())
        table.add_row(dimension, *(f"{value:.3f}" for value in values))
    out.print(table)
    for name, model in answer.models.items():
        decided = sorted(model.adjectives, key=lambda word: word.probability or 0.0, reverse=True)
        words = ", ".join(f"{word.adjective} {word.probability:.2f}" for word in decided[:_WORDS_SHOWN])
        out.print(f"{name} finds it {words}.", soft_wrap=True)
    for warning in answer.warnings:
        out.print(cell(warning), soft_wrap=True)
