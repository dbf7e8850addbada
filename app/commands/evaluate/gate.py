"""``iqa evaluate --gate``: whether the models keep the bounds of a release, on good photographs."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import typer
from rich import box
from rich.table import Table

from app.commands.evaluate.photographs import look_at_each
from app.commands.official import fetch_where_asked
from app.commands.score import report_failures
from app.commands.terminal import SOME_FAILED, complain, console
from app.scoring.offline import Scorer
from app.scoring.panel import Panel
from app.settings import Settings
from models.training.photos import Split, list_photos
from models.training.robustness import (
    VARIANTS,
    GateOutcome,
    broken,
    images_of_variants,
    outcomes,
    try_variants,
)


def run_gate(
    folder: Path,
    settings: Settings,
    *,
    split: Split = "all",
    limit: int | None = None,
    as_json: bool = False,
) -> None:
    """Holds all no-reference models to the bounds of a release and prints which ones they keep.

    As for ``--robustness``, photographs are first brought to the size that the models score them at.

    Args:
        folder: of good photographs.
        settings: what models there are, and how they are run.
        split: which of the photographs.
        limit: how many of them, the first by name; None for all.
        as_json: whether to print JSON and no table.

    Raises:
        DataError: there are no such photographs.
        typer.Exit: with status 1 where a bound is broken or photographs had to be left out.
        Exception: as of :class:`app.scoring.offline.Scorer`.
    """
    paths = list_photos(folder, split)[:limit]
    fetch_where_asked(settings)
    panel = Panel(Scorer(settings), settings)
    tried, failures = look_at_each(
        panel, paths, images_of_variants(), lambda photo, name, judge: try_variants(photo.pixels, name, judge)
    )
    found = {name: outcomes(tried, name) for name in panel.names} if tried else {}
    complaints = broken(found)
    if as_json:
        about = {"folder": str(folder), "split": split, "photographs": len(tried), "failed": len(failures)}
        models = {
            name: {
                **panel.about(name),
                "variants": {variant: asdict(outcome) for variant, outcome in each.items()},
            }
            for name, each in found.items()
        }
        kept = bool(found) and not complaints
        print(json.dumps({**about, "kept": kept, "broken": complaints, "models": models}))
    elif found:
        _show(found)
    for sentence in complaints:
        complain(sentence)
    report_failures(failures, len(tried))
    if complaints or failures:
        raise typer.Exit(SOME_FAILED)


def _show(found: Mapping[str, Mapping[str, GateOutcome]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("variant")
    table.add_column("bound")
    for name in found:
        table.add_column(f"{name}: as good or better", justify="right")
        table.add_column("difference", justify="right")
    for variant in VARIANTS:
        values = [value for each in found.values() for value in _values(each[variant.name])]
        table.add_row(variant.name, variant.limit, *values)
    out = console()
    out.print(table)
    if not broken(found):
        out.print("No bound is broken.")


def _values(outcome: GateOutcome) -> tuple[str, str]:
    """Number and share of the photographs whose variant is as good or better, and the mean difference."""
    if outcome.share is None:
        return "-", "-"
    as_good = f"{outcome.as_good} of {outcome.photographs} ({100 * outcome.share:.1f} %)"
    return as_good, "-" if outcome.difference is None else f"{outcome.difference:.4f}"
