"""``iqa evaluate``: how well the models agree with people, on a folder of photographs with scores."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich import box
from rich.table import Table

from app.commands.flags import IN_PROCESS, with_settings
from app.commands.score import report_failures
from app.commands.terminal import SOME_FAILED, Meter, cell, complain, console, reported, shown
from app.settings import Settings

if TYPE_CHECKING:
    from models.training.photos import ScoredPhoto

_OVERALL: Final = "all"


class Split(StrEnum):
    """Which of the photographs."""

    all = "all"
    holdout = "holdout"
    train = "train"


@dataclass(frozen=True)
class Measured:
    """A photograph, what people and what the models said of it."""

    photo: "ScoredPhoto"
    predicted: dict[str, float]


@reported
@with_settings(*IN_PROCESS)
def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of photographs.", show_default=False)],
    settings: Settings,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Table with the columns image, mos (in [0, 1]) and, if any, subset.",
            show_default="FOLDER/scores.csv",
        ),
    ] = None,
    split: Annotated[
        Split, typer.Option(help="All, those that `iqa train` learns from, or those that it holds out.")
    ] = Split.all,
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write, a row per photograph.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how well the no-reference models agree with people.

    SRCC with its 95 % bootstrap interval, KRCC, and PLCC and RMSE after a logistic fit; of all photographs
    and of each subset.

    Exit status: 0; 1 if some photographs could not be scored, which are left out and named at the end; 2 for
    wrong usage, data, settings or weights.
    """
    from app.commands.scoring import Scorer
    from models.training.photos import list_scored

    photos = list_scored(folder, split.value, scores)
    scorer = Scorer(settings)
    measured, failures = [], []
    with Meter("scoring", len(photos)) as meter:
        for photo, scored in zip(photos, scorer.score(photo.path for photo in photos), strict=True):
            meter.advance()
            if scored.answer is None:
                failures.append(scored)
            else:
                predicted = {name: model.score for name, model in scored.answer.models.items()}
                measured.append(Measured(photo, predicted))
    if out is not None:
        _write_csv(out, measured, scorer.models)
    rows = _rows(measured, scorer.models)
    if as_json:
        print(
            json.dumps(
                {"folder": str(folder), "split": split.value, "failed": len(failures), "results": rows}
            )
        )
    else:
        _show(rows)
    report_failures(failures, len(measured))
    if failures:
        raise typer.Exit(SOME_FAILED)


def _rows(measured: Sequence[Measured], models: Sequence[str]) -> list[dict[str, Any]]:
    """Each model's agreement overall and by subset; with a reason instead where there is none."""
    from models.evaluation import agreement

    subsets = sorted({each.photo.subset for each in measured} - {""})
    rows: list[dict[str, Any]] = []
    for model in models:
        for subset in [_OVERALL, *subsets]:
            chosen = [each for each in measured if subset == _OVERALL or each.photo.subset == subset]
            row = {"model": model, "subset": subset, "n": len(chosen)}
            try:
                found = agreement(
                    [each.predicted[model] for each in chosen], [each.photo.mos for each in chosen]
                )
            except ValueError as error:
                rows.append({**row, "problem": str(error)})
            else:
                rows.append({**row, **asdict(found)})
    return rows


def _show(rows: Sequence[dict[str, Any]]) -> None:
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "SRCC": lambda row: f"{row['srcc']:.3f}",
        "95 %": lambda row: "{:.3f} to {:.3f}".format(*row["srcc_interval"]),
        "PLCC": lambda row: f"{row['plcc']:.3f}",
        "KRCC": lambda row: f"{row['krcc']:.3f}",
        "RMSE": lambda row: f"{row['rmse']:.4f}",
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model")
    table.add_column("subset", overflow="fold")
    for name in ("n", *columns):
        table.add_column(name, justify="right")
    for row in rows:
        values = ["-"] * len(columns) if "problem" in row else [show(row) for show in columns.values()]
        table.add_row(row["model"], cell(row["subset"]), str(row["n"]), *values)
    console().print(table)
    for row in rows:
        if "problem" in row:
            complain(f"{row['model']}, subset {shown(row['subset'])}: {row['problem']}")


def _write_csv(path: Path, measured: Sequence[Measured], models: Sequence[str]) -> None:
    from models.weights import write_atomically

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "mos", "subset", *models])
    for each in measured:
        photo = each.photo
        predicted = (f"{each.predicted[model]:.6f}" for model in models)
        writer.writerow([photo.path.name, photo.mos, photo.subset, *predicted])
    write_atomically(path, text.getvalue().encode())
