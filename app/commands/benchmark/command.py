"""``iqa benchmark``: how well the models agree with people, on the data sets that papers report on."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.commands.compare import measures_asked
from app.commands.flags import IN_PROCESS, PAIR_WEIGHTS, with_options, with_settings
from app.commands.official import fetch_where_asked
from app.commands.score import report_failures
from app.commands.terminal import SOME_FAILED, complain, fail, reported, require_writable
from app.printable import shown
from app.schemas.measured.pair_measures import MEASURES_OF_FILES, MeasureOfFiles
from app.settings import Settings
from models.registry import FULL_REFERENCE

if TYPE_CHECKING:
    from app.commands.benchmark.journal import Journal
    from app.scoring.offline import Scorer
    from models.datasets.known import Dataset
    from models.datasets.pictures import Located

_NAMED: Final = 5  # missing or surplus files


class DatasetName(StrEnum):
    """Names of :data:`models.datasets.known.DATASETS`, which takes too long to import for --help."""

    koniq = "koniq-10k"
    spaq = "spaq"
    clive = "clive"
    kadid = "kadid-10k"
    tid2013 = "tid2013"
    live = "live"
    csiq = "csiq"
    pipal = "pipal"
    biq2021 = "biq2021"


class OfficialSplit(StrEnum):
    """Which images."""

    all = "all"
    test = "test"
    validation = "validation"
    train = "train"


@dataclass(frozen=True)
class BenchmarkOptions:
    """Arguments and options of ``iqa benchmark``, beside the settings."""

    dataset: Annotated[DatasetName, typer.Argument(help="The data set.", show_default=False)]
    data: Annotated[Path, typer.Option(help="Its folder, unpacked as published.", show_default=False)]
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write the table to as well.", show_default=False)
    ] = None
    scores: Annotated[
        Path | None,
        typer.Option(help="CSV file to write, with a row per image: labels and scores.", show_default=False),
    ] = None
    split: Annotated[
        OfficialSplit | None,
        typer.Option(
            help="Of the official splits.", show_default="test where there is an official one, else all"
        ),
    ] = None
    measures: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Measures of pairs beside PSNR and SSIM, out of {', '.join(MEASURES_OF_FILES)}.",
            show_default=False,
        ),
    ] = ""
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="A sample of so many images, always the same, for a try. Published figures are left out.",
            show_default=False,
        ),
    ] = None
    partial: Annotated[
        bool, typer.Option("--partial", help="Measure although images are missing that the labels name.")
    ] = False
    resume: Annotated[bool, typer.Option("--resume", help="Go on with --out where it was left.")] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out where it exists.")] = False


@reported
@with_settings(*IN_PROCESS, PAIR_WEIGHTS)
@with_options
def benchmark(options: BenchmarkOptions, settings: Settings) -> None:
    """Measure the models on a published data set.

    SRCC with its 95 % bootstrap interval, PLCC as it is and after a logistic fit (four parameters), and KRCC.
    No-reference models score the distorted images; where the data set has references, the full-reference
    model, PSNR and SSIM compare the pairs. Figures that others published of the same split stand beside, with
    who published them. Data sets are not downloaded.

    Exit status: 0; 1 if some images could not be scored, which are left out and named at the end; 2 for wrong
    usage, data, settings or weights; 130 after Ctrl-C: with --out, the same command with --resume goes on.
    """
    from app.commands.benchmark import figures
    from app.commands.benchmark.measuring import measure_pictures, measures_of
    from models.datasets.known import DATASETS
    from models.datasets.pictures import locate

    measures = measures_asked(options.measures)
    _check_output(options)
    dataset = DATASETS[options.dataset.value]
    located = locate(
        dataset, options.data, None if options.split is None else options.split.value, options.limit
    )
    _tell_files(dataset, located, options)
    fetch_where_asked(settings)
    scorer = _scorer_for(settings, dataset, measures)
    with _journal(options, dataset, located, scorer, measures) as journal:
        failures, interrupted = measure_pictures(scorer, located.pictures, journal, measures)
        if interrupted:
            go_on = " The same command with --resume goes on." if options.out is not None else ""
            raise KeyboardInterrupt(f"Interrupted.{go_on}")
        pairs = {FULL_REFERENCE: True} | measures_of(measures) if dataset.references else {}
        names = dict.fromkeys(scorer.models, True) | pairs
        rows = figures.measured_figures(located.pictures, journal.scores, names)
        if options.limit is None and not located.missing:
            rows += figures.published_rows(dataset.name, located.split)
        rows = [{"dataset": dataset.name, "split": located.split, **row} for row in rows]
        figures.show_figures(rows, dataset, located.split)
        if options.scores is not None:
            figures.write_scores(options.scores, located.pictures, journal.scores, dataset)
        if options.out is not None:
            figures.write_figures(options.out, rows)
        journal.remove()
    for row in rows:
        if "problem" in row:
            complain(f"{row['model']}: {row['problem']}")
    report_failures(failures, len(located.pictures) - len(failures))
    if failures:
        raise typer.Exit(SOME_FAILED)


def _check_output(options: BenchmarkOptions) -> None:
    from app.bulk.part_file import part_of, remove_part

    for path in (options.out, options.scores):
        require_writable(path)
    if options.out is None:
        if options.resume or options.overwrite:
            fail("--resume and --overwrite go with --out.")
        return
    if options.resume and options.overwrite:
        fail("--resume goes on with a file, --overwrite starts again: it can only be one of them.")
    if options.overwrite:
        remove_part(options.out)
    elif options.out.exists():
        fail(f"{shown(options.out)} exists already: --overwrite replaces it.")
    elif part_of(options.out).exists() and not options.resume:
        fail(f"{shown(options.out)} was begun: --resume goes on with it, --overwrite starts again.")


def _tell_files(dataset: "Dataset", located: "Located", options: BenchmarkOptions) -> None:
    """Says which files are missing or not named by the labels; without --partial, missing ones are an end."""
    if located.surplus:
        complain(
            f"{len(located.surplus)} files beside the images of {dataset.title} are not named by its labels, "
            f"and are left out: {_listed(located.surplus)}."
        )
    if located.missing:
        sentence = (
            f"{len(located.missing)} images that the labels of {dataset.title} name are not in "
            f"{shown(options.data)}: {_listed(located.missing)}."
        )
        if not options.partial:
            fail(f"{sentence} --partial measures on the others.")
        complain(sentence)
    if not located.pictures:
        fail(f"There is no image of {dataset.title} to measure on in {shown(options.data)}.")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(shown(name) for name in names[:_NAMED]) + more


def _scorer_for(settings: Settings, dataset: "Dataset", measures: tuple[MeasureOfFiles, ...]) -> "Scorer":
    from app.scoring.offline import Scorer

    return Scorer(settings, full_reference=bool(dataset.references), measures=measures)


def _journal(
    options: BenchmarkOptions,
    dataset: "Dataset",
    located: "Located",
    scorer: "Scorer",
    measures: tuple[MeasureOfFiles, ...],
) -> "Journal":
    from app.commands.benchmark.journal import Journal

    cards = {card.name: card for card in scorer.engine.cards()}
    basis: dict[str, Any] = {
        "data set": dataset.name,
        "split": located.split,
        "models": list(scorer.models),
        "weights": {name: card.sha256 for name, card in sorted(cards.items())},
        "measures": list(measures),
        "max_scored_pixels": scorer.engine.max_scored_pixels,
    }
    return Journal(options.out, basis)
