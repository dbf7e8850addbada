"""Figures that others published of models on the data sets, each with who published it and where.

``published.csv`` holds them. A figure stands there only if it was read in the source that is named.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_TABLE: Final = Path(__file__).with_name("published.csv")


@dataclass(frozen=True)
class PublishedFigures:
    """What was published of a model on a data set; None where the source does not give a figure.

    Attributes:
        model: as the source calls it.
        plcc: without a fit.
        by: who published the figures.
        source: where.
    """

    dataset: str
    split: str
    model: str
    srcc: float | None
    plcc: float | None
    krcc: float | None
    by: str
    source: str


@cache
def published_figures() -> tuple[PublishedFigures, ...]:
    """All of them."""

    with _TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(
            PublishedFigures(
                dataset=row["dataset"],
                split=row["split"],
                model=row["model"],
                srcc=_figure(row["srcc"]),
                plcc=_figure(row["plcc"]),
                krcc=_figure(row["krcc"]),
                by=row["by"],
                source=row["source"],
            )
            for row in csv.DictReader(file)
        )


def published_of(dataset: str, split: str) -> list[PublishedFigures]:
    """Those of a split of a data set, the best first."""
    found = [each for each in published_figures() if (each.dataset, each.split) == (dataset, split)]
    return sorted(found, key=lambda each: -(each.srcc or 0.0))


def _figure(text: str) -> float | None:
    return float(text) if text else None
