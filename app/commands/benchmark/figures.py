"""The table of a benchmark: our figures, and published ones beside them, marked with who published them."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.table import Table

from app.commands.benchmark.journal import ImageScores
from app.commands.terminal import cell, console
from app.version import version
from models.datasets.known import Dataset
from models.datasets.pictures import BenchmarkPicture
from models.datasets.published import published_of
from models.files import write_atomically

FigureRow = dict[str, Any]
"""A row: the columns of :data:`COLUMNS`, without those that are not known."""

COLUMNS: Final = (
    *("dataset", "split", "kind", "model", "n", "srcc", "srcc_low", "srcc_high", "plcc", "plcc_fitted"),
    *("krcc", "rmse_fitted", "curve", "by", "source", "problem"),
)
_SHOWN: Final = {"SRCC": "srcc", "PLCC": "plcc", "PLCC fitted": "plcc_fitted", "KRCC": "krcc"}


def measured_figures(
    pictures: Sequence[BenchmarkPicture], scores: Mapping[str, ImageScores], names: Mapping[str, bool]
) -> list[FigureRow]:
    """How well each model and measure agrees with people.

    Args:
        pictures: of the data set.
        scores: of the pictures that could be scored.
        names: of models and measures, and whether higher is better.

    Returns:
        A row each, in the order of `names`; where figures cannot be had, with the reason in `problem`.
    """
    from models.correlation import agreement, pearson

    rows = []
    for name, higher_is_better in names.items():
        known = [
            (scores[each.name][name], each.target) for each in pictures if name in scores.get(each.name, ())
        ]
        predicted = [value if higher_is_better else -value for value, _ in known]
        row: FigureRow = {
            "kind": "measured",
            "model": name,
            "n": len(known),
            "by": f"iqa-service {version()}",
        }
        try:
            found = agreement(predicted, [target for _, target in known])
            row |= {
                "srcc": found.srcc,
                "srcc_low": found.srcc_interval[0],
                "srcc_high": found.srcc_interval[1],
                "plcc": pearson(predicted, [target for _, target in known]),
                "plcc_fitted": found.plcc,
                "krcc": found.krcc,
                "rmse_fitted": found.rmse,
                "curve": found.curve,
            }
        except ValueError as error:
            row["problem"] = str(error)
        rows.append(row)
    return rows


def published_rows(dataset: str, split: str) -> list[FigureRow]:
    """What others published of the same split."""
    return [
        {
            "kind": "published",
            "model": each.model,
            "srcc": each.srcc,
            "plcc": each.plcc,
            "krcc": each.krcc,
            "by": each.by,
            "source": each.source,
        }
        for each in published_of(dataset, split)
    ]


def write_figures(path: Path, rows: Sequence[FigureRow]) -> None:
    """Writes the table as CSV.

    Raises:
        OSError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()}
        )
    write_atomically(path, text.getvalue().encode())


def write_scores(
    path: Path, pictures: Sequence[BenchmarkPicture], scores: Mapping[str, ImageScores], dataset: Dataset
) -> None:
    """Writes a CSV with a row per image: what people said, in the data set's unit, and every score.

    Raises:
        OSError: it cannot be written.
    """
    names = list(dict.fromkeys(name for each in scores.values() for name in each))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "dmos" if dataset.lower_is_better else "mos", *names])
    for picture in pictures:
        found = scores.get(picture.name, {})
        label = -picture.target if dataset.lower_is_better else picture.target
        writer.writerow([picture.name, label, *(found.get(name, "") for name in names)])
    write_atomically(path, text.getvalue().encode())


def show_figures(rows: Sequence[FigureRow], dataset: Dataset, split: str) -> None:
    """Prints the table, and what to know of the data set."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", overflow="fold")
    for name in ("n", *_SHOWN):
        table.add_column(name, justify="right")
        if name == "SRCC":
            table.add_column("95 %", justify="right")
    table.add_column("figures", overflow="fold")
    for row in rows:
        numbers = [f"{row[key]:.3f}" if row.get(key) is not None else "" for key in _SHOWN.values()]
        interval = "{srcc_low:.3f} to {srcc_high:.3f}".format_map(row) if "srcc_low" in row else ""
        origin = "measured here" if row["kind"] == "measured" else f"published by {row['by']}"
        counted = str(row["n"]) if "n" in row else ""
        table.add_row(cell(row["model"]), counted, numbers[0], interval, *numbers[1:], cell(origin))
    out = console()
    out.print(f"{dataset.title}, {split} ({dataset.citation})", soft_wrap=True)
    out.print(table)
    out.print(
        "PLCC is of the scores as they are; fitted, it is taken after a logistic curve of four parameters.",
        soft_wrap=True,
    )
    if dataset.note:
        out.print(dataset.note, soft_wrap=True)
    out.print(f"Use of the data: {dataset.license}.", soft_wrap=True)
