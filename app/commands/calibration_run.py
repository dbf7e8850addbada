"""One run of ``iqa calibrate``: photographs scored, limits found, the policy and its report written."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich import box
from rich.table import Table

from app.bulk.calibration_report import MORE, CalibrationPhoto, write_calibration
from app.bulk.image_files import Meant
from app.bulk.scorers import InProcess
from app.commands.official import fetch_where_asked
from app.commands.score import report_failures
from app.commands.terminal import (
    SOME_FAILED,
    Meter,
    cell,
    complain,
    console,
    fail,
    require_writable,
)
from app.policies import MeasuredImage, is_policy_name, to_toml
from app.policies.calibrating import FoundLimits, candidates, find_limits
from app.policies.found_policy import bounds, found_table, sentences
from app.printable import shown
from app.scoring.outcomes import ScoredFile
from app.settings import Settings, answering
from models.files import write_atomically
from models.registry import spec_of


@dataclass(frozen=True)
class CalibrationOrder:
    """What is to be found.

    Attributes:
        good: folders of photographs that are good enough.
        bad: folders of photographs that are not.
        recursive: whether the folders within folders are searched too.
        may_fail: share of photographs like the good ones that may fail.
        may_review: share of them that may fail or go to review.
        name: of the policy.
        out: the TOML file to write.
        report: the HTML page to write; None for none.
    """

    good: Sequence[Path]
    bad: Sequence[Path]
    recursive: bool
    may_fail: float
    may_review: float
    name: str
    out: Path
    report: Path | None


def run_calibration(order: CalibrationOrder, settings: Settings) -> None:
    """Finds the limits and writes them.

    Raises:
        CommandFailure: wrong options, or a file that cannot be written.
        PoliciesError: there are too few photographs.
        typer.Exit: with status 1 where some files could not be scored.
        Exception: as of :class:`app.bulk.scorers.InProcess`.
    """
    for path in (order.out, order.report):
        require_writable(path)
    if not is_policy_name(order.name):
        fail(
            f"A policy cannot be called {shown(order.name)}: a name has 1 to 64 small letters, digits and "
            "hyphens, and does not begin with a hyphen. Choose one with --name."
        )
    model = answering(settings.models)
    fetch_where_asked(settings)
    failures: list[ScoredFile] = []
    with contextlib.closing(InProcess(settings.model_copy(update={"models": (model,)}))) as source:
        good = _looked_at(source, order.good, order.recursive, failures)
        bad = _looked_at(source, order.bad, order.recursive, failures)
        weights = {each.name: each.sha256 for each in source.basis.models}
    found = find_limits(
        [each.measured for each in good],
        [each.measured for each in bad],
        candidates(model, adjectives=spec_of(model).adjectives),
        fail_at_most=order.may_fail,
        review_at_most=order.may_review,
    )
    drawn = any(not each.measured.photograph for each in good)
    table = found_table(found, weights, by="iqa calibrate", drawn=drawn)
    write_atomically(order.out, to_toml(order.name, table).encode())
    _show(found, good, bad)
    complain(
        f"{shown(order.out)}: the policy {order.name}. IQA_POLICIES_FILE={shown(order.out)} makes it known."
    )
    if order.report is not None:
        write_calibration(order.report, order.name, found, good, bad)
        complain(f"{shown(order.report)}: the report.")
    report_failures(failures, len(good) + len(bad))
    if failures:
        raise typer.Exit(SOME_FAILED)


def _looked_at(
    source: InProcess, folders: Sequence[Path], recursive: bool, failures: list[ScoredFile]
) -> list[CalibrationPhoto]:
    """The photographs of folders that could be scored; the others are added to `failures`."""
    meant = Meant(folders, recursive=recursive)
    found = []
    with Meter("scoring", meant.count()) as meter, contextlib.closing(source.score(meant)) as results:
        for scored in results:
            meter.advance()
            if scored.answer is None:
                failures.append(scored)
            else:
                found.append(CalibrationPhoto(scored.local, scored.answer, MeasuredImage.of(scored.answer)))
    failures += meant.failures
    return found


def _show(found: FoundLimits, good: Sequence[CalibrationPhoto], bad: Sequence[CalibrationPhoto]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (
        "limit of",
        "median of good",
        "fails",
        "goes to review",
        "good that fail",
        "bad that fail",
    ):
        table.add_column(column, justify="left" if column == "limit of" else "right")
    table.add_column("nearest good photograph", overflow="fold")
    for each in found.limits:
        table.add_row(
            each.limit.about,
            f"{each.median:.3f}",
            *bounds(each.limit),
            str(each.good_failed),
            str(each.bad_failed) if bad else "-",
            cell(good[each.nearest[0]].path.name),
        )
    out = console()
    out.print(table)
    for sentence in sentences(found, more=MORE):
        out.print(sentence, soft_wrap=True)
