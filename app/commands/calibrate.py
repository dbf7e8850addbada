"""``iqa calibrate``: a policy whose limits are found on one's own photographs."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from app.commands.flags import IN_PROCESS, with_options, with_settings
from app.commands.terminal import fail, reported
from app.printable import shown
from app.settings import Settings

_MOST: Final = 0.5  # more than a half rejected is no limit but a choice


@dataclass(frozen=True)
class CalibrateOptions:
    """Options of ``iqa calibrate``, beside the settings."""

    good: Annotated[
        list[Path],
        typer.Option(
            metavar="FOLDER", help="Photographs that are good enough; can be given again.", show_default=False
        ),
    ]
    out: Annotated[Path, typer.Option(help="TOML file to write, for IQA_POLICIES_FILE.", show_default=False)]
    bad: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Photographs that are not good enough. Of ten or more, measures that find none of them "
            "are left out.",
            show_default=False,
        ),
    ] = None
    reject_at_most: Annotated[
        str, typer.Option(metavar="SHARE", help="Of photographs like the good ones, this share may fail.")
    ] = "2%"
    review_at_most: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="This share of them may fail or go to review. Default: four times as many as may fail.",
            show_default=False,
        ),
    ] = None
    name: Annotated[
        str | None,
        typer.Option(help="Of the policy. Default: the name of the file.", show_default=False),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            help="HTML page to write: each limit, and the photographs nearest to it.", show_default=False
        ),
    ] = None
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into the folders within folders too.")
    ] = False


@reported
@with_settings(*IN_PROCESS)
@with_options
def calibrate_policy(options: CalibrateOptions, settings: Settings) -> None:
    """Find the limits of a policy on your own photographs.

    Fifty good photographs are enough for a policy that rejects 2 % of such photographs. Each measure (score,
    dimensions, exposure) gets a limit for `fail` and one for `review`; together they reject no more than the
    share that you allow. Check the policy on other photographs: iqa score OTHERS --policy NAME.

    Exit status: 0; 1 if some files could not be scored, which are named; 2 for wrong usage, too few
    photographs, or a file that cannot be written.
    """
    from app.commands.calibration_run import CalibrationOrder, run_calibration  # with all that scores

    may_fail, may_review = _shares(options)
    order = CalibrationOrder(
        good=options.good,
        bad=options.bad or (),
        recursive=options.recursive,
        may_fail=may_fail,
        may_review=may_review,
        name=options.out.stem if options.name is None else options.name,
        out=options.out,
        report=options.report,
    )
    run_calibration(order, settings)


def _shares(options: CalibrateOptions) -> tuple[float, float]:
    may_fail = _share("--reject-at-most", options.reject_at_most)
    if options.review_at_most is None:
        from app.policies.found_policy import usual_review  # with numpy

        return may_fail, usual_review(may_fail)
    may_review = _share("--review-at-most", options.review_at_most)
    if may_review <= may_fail:
        fail(
            f"--review-at-most {shown(options.review_at_most)} counts those that fail, too: it must exceed "
            f"--reject-at-most {shown(options.reject_at_most)}."
        )
    return may_fail, may_review


def _share(option: str, text: str) -> float:
    """A share as people write it: 2%, or 0.02."""
    number = text.strip().removesuffix("%")
    try:
        value = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 < value <= _MOST:
        fail(f"{option} is {shown(text)}; it has to be a share above 0 % and at most 50 %, as 2% or 0.02.")
    return value
