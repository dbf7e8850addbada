"""``iqa evaluate --robustness``: how the models answer to faults made on purpose, on good photographs."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import typer
from rich import box
from rich.table import Table

from app.commands.evaluate.photographs import look_at_each
from app.commands.evaluate.plots import check_plot, draw
from app.commands.official import fetch_where_asked
from app.commands.score import report_failures
from app.commands.terminal import SOME_FAILED, complain, console
from app.scoring.offline import Scorer
from app.scoring.panel import Panel
from app.settings import Settings
from models.registry import FULL_REFERENCE
from models.training.photos import Split, list_photos
from models.training.robustness import HARMLESS, Figures, Teacher, examine, figures, images_of_each


def run_robustness(
    folder: Path,
    settings: Settings,
    *,
    split: Split = "all",
    limit: int | None = None,
    plot: Path | None = None,
    as_json: bool = False,
) -> None:
    """Examines all models on a folder of good photographs and prints the figures.

    Photographs are first brought to the size that the models score them at: the faults are those of what is
    seen, and none is lost on the way.

    Args:
        folder: of the photographs.
        settings: what models there are, and how they are run.
        split: which of the photographs.
        limit: how many of them, the first by name; None for all.
        plot: a file for the curves, or None.
        as_json: whether to print JSON and not tables.

    Raises:
        DataError: there are no such photographs.
        CommandFailure: nothing can be drawn into `plot`.
        typer.Exit: with status 1 where photographs had to be left out.
        Exception: as of :class:`app.scoring.offline.Scorer`.
    """
    if plot is not None:
        check_plot(plot)
    paths = list_photos(folder, split)[:limit]
    fetch_where_asked(settings)
    panel = Panel(Scorer(settings, full_reference=True), settings)
    teacher = _teacher() if panel.has_full_reference else None
    examined, failures = look_at_each(
        panel, paths, images_of_each(), lambda photo, name, judge: examine(photo.pixels, name, judge, teacher)
    )
    found = (
        {name: figures(examined, name, has_reference=name == FULL_REFERENCE) for name in panel.names}
        if examined
        else {}
    )
    if plot is not None and found:
        draw(plot, found, len(examined))
    if as_json:
        about = {"folder": str(folder), "split": split, "photographs": len(examined), "failed": len(failures)}
        models = {name: {**panel.about(name), **asdict(each)} for name, each in found.items()}
        print(json.dumps({**about, "models": models}))
    elif found:
        _show(found)
    report_failures(failures, len(examined))
    if failures:
        raise typer.Exit(SOME_FAILED)


def _teacher() -> Teacher | None:
    """What the full-reference weights learned from, where the libraries for it are there."""
    try:
        from models.training.targets import teachers
    except ModuleNotFoundError as error:
        if error.name != "piq":
            raise
        complain(
            "How the full-reference scores go with their teachers is left out: that needs the extra `train`, "
            "which is not installed: pip install 'iqa-service[train]'."
        )
        return None
    return teachers.targets


def _show(found: Mapping[str, Figures]) -> None:
    out = console()
    out.print(_order_table(found))
    worded = {name: each for name, each in found.items() if each.words is not None}
    if worded:
        out.print(_words_table(worded))
    steady = {name: each for name, each in found.items() if each.steadiness is not None}
    if steady:
        out.print(_steadiness_table(steady))
    for name, each in found.items():
        if each.full_reference is None:
            continue
        full = each.full_reference
        out.print(
            f"{name}: identical pairs score {full.identical_mean:.3f} on average, "
            f"{full.identical_least:.3f} at least.",
            soft_wrap=True,
        )
        if full.teachers is not None:
            srcc = "none" if full.teachers.srcc is None else f"{full.teachers.srcc:.3f}"
            out.print(
                f"{name} beside its teachers, on {full.teachers.pairs} pairs: SRCC {srcc}, "
                f"mean difference {full.teachers.mean_difference:.3f}.",
                soft_wrap=True,
            )
            out.print(_differences_table(name, full.teachers.differences))


def _order_table(found: Mapping[str, Figures]) -> Table:
    """Shares in the right order: of adjacent levels, and of the worst against the mildest."""
    orders = [each.order for each in found.values()]
    table = _table("distortion", *(f"{name}: {what}" for name in found for what in ("adjacent", "worst")))
    for distortion in orders[0].adjacent:
        row = [share for each in orders for share in (each.adjacent[distortion], each.worst[distortion])]
        table.add_row(distortion, *(f"{share:.2f}" for share in row))
    table.add_section()
    means = [mean for each in orders for mean in (each.adjacent_mean, each.worst_mean)]
    table.add_row("mean", *(f"{mean:.3f}" for mean in means))
    intervals = [found for each in orders for found in (each.adjacent_interval, each.worst_interval)]
    table.add_row("95 %", *(_interval(interval) for interval in intervals))
    least = [share for each in orders for share in (each.adjacent_least, each.worst_least)]
    table.add_row("least", *(f"{share:.2f}" for share in least))
    return table


def _words_table(found: Mapping[str, Figures]) -> Table:
    """Areas under the ROC curve of each pair of adjectives."""
    words = [each.words for each in found.values() if each.words is not None]
    table = _table("pair", *found)
    for pair in words[0].areas:
        table.add_row(pair, *(f"{each.areas[pair]:.2f}" for each in words))
    table.add_section()
    table.add_row("median", *(f"{each.median:.3f}" for each in words))
    table.add_row("95 %", *(_interval(each.median_interval) for each in words))
    table.add_row("worst", *(f"{each.worst:.2f}" for each in words))
    return table


def _steadiness_table(found: Mapping[str, Figures]) -> Table:
    """How far scores move under changes that should not matter."""
    table = _table(
        "the same photograph", *(f"{name}: {what}" for name in found for what in ("mean", "largest"))
    )
    for change in HARMLESS:
        moved = [each.steadiness[change] for each in found.values() if each.steadiness is not None]
        values = [value for each in moved for value in (each.mean, each.largest)]
        table.add_row(change, *(f"{value:.4f}" for value in values))
    return table


def _differences_table(name: str, differences: Mapping[str, float]) -> Table:
    table = _table("distortion", f"{name}: mean difference from the teachers")
    for distortion, difference in differences.items():
        table.add_row(distortion, f"{difference:.3f}")
    table.add_section()
    table.add_row("largest", f"{max(differences.values()):.3f}")
    return table


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else "{:.3f} to {:.3f}".format(*interval)


def _table(first: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in columns:
        table.add_column(name, justify="right")
    return table
