"""``iqa score``: image files scored in this process or by a server, a few of them or very many."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.bulk.buckets.score_parts import ROWS_OF_PART, ScoreParts
from app.bulk.report import write_report
from app.bulk.rows import named_by
from app.bulk.run_manifest import About, shown_names
from app.bulk.score_file import ScoreFile
from app.bulk.scorers import SERVER_CONCURRENCY, InProcess, Remote, Source
from app.bulk.summary import Summary
from app.commands.flags import IN_PROCESS, with_options, with_settings
from app.commands.official import fetch_where_asked
from app.commands.score_run import Run
from app.commands.terminal import (
    SOME_FAILED,
    CommandFailure,
    complain,
    fail,
    reported,
    require_writable,
)
from app.fetching.buckets import bucket_place
from app.printable import shown
from app.scoring.outcomes import FileName, ScoredFile
from app.settings import Settings
from app.version import version

if TYPE_CHECKING:
    from app.bulk.buckets.named import Named

NOT_GOOD_ENOUGH: Final = 3
"""What --fail-on asks for: some image got such a verdict."""

_MOST_ROWS: Final = 10_000


class Verdicts(StrEnum):
    """Those that --fail-on looks for."""

    fail = "fail"
    review = "review"


@dataclass(frozen=True)
class ScoreOptions:
    """Arguments and options of ``iqa score``, beside the settings."""

    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Image files, and folders of them; - is the standard input. With the extra `cloud` also "
            "objects of buckets, and all below a prefix: s3://photos/2024, gs://..., az://...",
            show_default=False,
        ),
    ]
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into the folders within folders too.")
    ] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each image, as POST /score answers it.")
    ] = False
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File to write the scores to, instead of printing them: .jsonl has the whole answers, .csv "
            "and .parquet are tables with a row per image (Parquet with the extra `parquet`). Until it is "
            "finished, its rows are in FILE.part.sqlite. A prefix of a bucket (s3://photos/scores/) gets "
            "parts of Parquet, each written once.",
            show_default=False,
        ),
    ] = None
    detail_crops: Annotated[
        bool,
        typer.Option(
            "--detail-crops",
            help="Score parts of each image at its native size too: they show blur and noise of a pixel's "
            "size. Each image is decoded whole then.",
        ),
    ] = False
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with --out: what has a score there is not scored again, also if the file has changed "
            "since; what failed is tried again, but not in a bucket, whose parts stay as they are.",
        ),
    ] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where --out exists already.")] = (
        False
    )
    part_images: Annotated[
        int,
        typer.Option(
            metavar="INTEGER",
            min=1,
            max=1_000_000,
            help="Images of each part, where --out is in a bucket. A killed run loses those of one part.",
        ),
    ] = ROWS_OF_PART
    policy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Judge by this policy, as `upload`.", show_default=False),
    ] = None
    fail_on: Annotated[
        Verdicts | None,
        typer.Option(
            help="With --policy: exit status 3 if an image fails, or if one does not pass.",
            show_default=False,
        ),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            help="HTML page to write about all images of --out: distributions, verdicts, the best and the "
            "worst. It needs nothing beside it.",
            show_default=False,
        ),
    ] = None
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Have this service score them. Of the settings below only --models counts then.",
            show_default=False,
        ),
    ] = None
    key: Annotated[
        str | None,
        typer.Option(envvar="IQA_API_KEY", metavar="KEY", help="API key for --server.", show_default=False),
    ] = None
    patience: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            max=86_400,
            help="How long a --server that answers nothing is waited for.",
        ),
    ] = 60.0
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Have a cluster of Ray score them, with an actor for each device, or for --threads cores "
            "(2 by default): local starts one here, auto is the one that runs here; or HOST:6379. Files must "
            "be readable on all of its machines (extra `ray`).",
            show_default=False,
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help=f"Requests at a time with --server ({SERVER_CONCURRENCY} by default), without it threads "
            "that decode (--decode-processes by default). It does not change how many are scored together.",
            show_default=False,
        ),
    ] = None


@reported
@with_settings(*IN_PROCESS, "policies_file")
@with_options
def score_files(options: ScoreOptions, settings: Settings) -> None:
    """Score image files.

    The service is not needed: the models are loaded here, unless --server is given. Scores are from 0 to 1,
    higher is better.

    With --out nothing is lost by Ctrl-C or a crash: the same command with --resume goes on. Beside the file,
    FILE.run.json says where its scores come from, and to go on with other weights, models or policies is
    refused. Names stand there as they were given or found: to go on, give them in the same way.

    Exit status: 0 if all were scored; 1 if some files could not be, which are named at the end; 2 for wrong
    usage, settings or weights, a file that cannot be written, or a server that is gone; 3 for --fail-on, if
    all were scored; 130 after Ctrl-C.
    """
    _check_combinations(options)
    output = _output_of(options)
    run = Run(output, overwrite=options.overwrite, as_json=options.as_json)
    with contextlib.closing(run):
        meant = _score(options, settings, run)
        if run.interrupted is not None:
            raise KeyboardInterrupt(run.interrupted + run.go_on())
        run.finish()
    if options.out is not None and run.about is not None:
        complain(
            f"{shown(options.out)}: {run.summary.images} images scored, {run.summary.failed} could not be."
        )
    if options.report is not None:
        if run.about is None:
            fail("Nothing was scored, so there is nothing to report on.")
        write_report(options.report, run.about, run.summary)
        complain(f"{shown(options.report)}: the report.")
    if meant.failures or run.failed:
        raise typer.Exit(SOME_FAILED)
    if options.fail_on is not None and _is_bad(run.summary, options.fail_on):
        raise typer.Exit(NOT_GOOD_ENOUGH)


def _check_combinations(options: ScoreOptions) -> None:
    if (options.resume or options.overwrite) and options.out is None:
        fail("--resume and --overwrite go with --out.")
    if options.resume and options.overwrite:
        fail("--resume goes on with a file, --overwrite begins it anew: it can only be one of them.")
    if options.as_json and options.out is not None:
        fail("--json prints what --out would write: it can only be one of them.")
    if options.ray is not None and options.server is not None:
        fail("--ray and --server both say what scores: it can only be one of them.")
    if options.fail_on is not None and options.policy is None:
        fail("--fail-on needs --policy.")
    if options.report is not None and str(options.report) == options.out:
        fail("--report and --out name the same file.")


def _output_of(options: ScoreOptions) -> ScoreFile | ScoreParts | None:
    """Return the file or prefix of --out, once it is known that what comes can be written as far as known."""
    require_writable(options.report)
    if options.out is None:
        return None
    out = named_by(options.out)
    output: ScoreFile | ScoreParts
    if isinstance(out, Path):
        require_writable(out)
        output = ScoreFile(out)
    else:
        output = ScoreParts(out, options.part_images)
    if output.exists and not (options.resume or options.overwrite):
        fail(f"{shown(options.out)} has scores already: --resume goes on with them, --overwrite begins anew.")
    return output


def _score(options: ScoreOptions, settings: Settings, run: Run) -> "Named":
    """Score what has no score yet, show the results, and return the files that were meant."""
    from app.bulk.buckets.named import Named  # it needs the formats, whose libraries take time to import

    models = settings.models if "models" in settings.model_fields_set else None
    done = run.take_over()
    if run.about is not None and options.out is not None:
        out = named_by(options.out)
        run.about.basis.check_asked(models, options.policy, out, detail_crops=options.detail_crops)
    files = [named_by(name) for name in options.files]
    meant = Named(files, recursive=options.recursive, done=done)
    table = options.out is None and not options.as_json
    # Objects are counted while they are scored, but for whether there is any.
    uncounted = meant.stored and not table
    total = meant.count(1 if uncounted else _MOST_ROWS + 1)
    if total > _MOST_ROWS and table:
        fail(
            f"{total} images are too many for a table, which has {_MOST_ROWS} rows at most: --out FILE "
            "keeps their scores, --json prints a line for each."
        )
    if len(done):
        left = "others" if uncounted and total else total
        complain(f"{shown(options.out)} has {len(done)} images already; {left} are left.")
    if total:
        with contextlib.closing(_source_of(options, settings, models)) as source:
            try:
                about = _about(source, files)
                count = meant.count if uncounted else None
                run.score(source, meant, None if uncounted else total, about, count)
            except CommandFailure:
                _show(run, meant)
                raise
    _show(run, meant)
    return meant


def _show(run: Run, meant: "Named") -> None:
    run.show()
    report_failures([*meant.failures, *run.failures], run.scored, len(meant.failures) + run.failed)


def report_failures(failures: Sequence[ScoredFile], scored: int, count: int | None = None) -> None:
    """A line on standard error for each file that failed, and how many they are beside those that did not.

    Args:
        failures: the files.
        scored: how many did not fail.
        count: how many failed, where `failures` are only the first of them.
    """
    count = len(failures) if count is None else count
    for failure in failures:
        complain(f"{shown(failure.path)}: {failure.problem}")
    if count > len(failures):
        complain(f"... and {count - len(failures)} more.")
    if count and count + scored > 1:
        complain(f"{count} could not be scored, {scored} were.")


def _source_of(options: ScoreOptions, settings: Settings, models: Sequence[str] | None) -> Source:
    """Return what scores: the service at --server, the cluster of --ray, or this process."""
    if options.server is not None and any(bucket_place(name) for name in options.files):
        fail("--server scores files of this machine; images in buckets are scored without it.")
    if options.ray is not None:
        from app.bulk.ray_data.source import OnRay

        return OnRay(
            options.ray, settings, options.policy, options.workers, detail_crops=options.detail_crops
        )
    if options.server is None:
        fetch_where_asked(settings)
        return InProcess(settings, options.policy, options.workers, detail_crops=options.detail_crops)
    try:
        return Remote(
            options.server,
            key=options.key,
            models=models,
            policy=options.policy,
            concurrency=options.workers or SERVER_CONCURRENCY,
            patience_s=options.patience,
            detail_crops=options.detail_crops,
        )
    except ValueError as error:  # of an address that is none
        fail(str(error))


def _about(source: Source, files: Sequence[FileName]) -> About:
    return About(
        program=f"iqa-service {version()}",
        named=shown_names(files),
        server=source.server,
        basis=source.basis,
        began=datetime.now(UTC),
    )


def _is_bad(summary: Summary, fail_on: Verdicts) -> bool:
    bad = summary.verdicts["fail"]
    if fail_on is Verdicts.review:
        bad += summary.verdicts["review"]
    return bad > 0
