"""One run of ``iqa pick``: photographs scored, groups found and shown, sidecars written, files moved."""

import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer
from rich import box
from rich.table import Table

from app.bulk.image_files import Meant
from app.commands.official import fetch_where_asked
from app.commands.pick.changes import KEPT_RATING, OTHER_RATING, move_away, write_rating
from app.commands.pick.options import PickOptions
from app.commands.score import report_failures
from app.commands.terminal import SOME_FAILED, Meter, cell, complain, console, fail, stoppable
from app.cpu import cores
from app.printable import shown
from app.schemas.pick import Advantage
from app.scoring.offline import Scorer
from app.scoring.outcomes import ScoredFile
from app.scoring.picks import AnsweredImage, PickedGroup, pick_best
from app.settings import Settings, answering

_COLUMNS: Final = ("group", "file", "keep", "score", "advantage", "reason")


@dataclass(frozen=True)
class _Photo:
    path: Path
    seen: AnsweredImage


@dataclass(frozen=True)
class _Member:
    """A photograph of a group, and what speaks for the one to keep against it; None of that one."""

    path: Path
    score: float
    advantage: Advantage | None

    @property
    def keep(self) -> bool:
        return self.advantage is None


@dataclass(frozen=True)
class _Group:
    """The members of a group, that to keep first, and why it is."""

    members: tuple[_Member, ...]
    reason: str


def run_pick(options: PickOptions, settings: Settings) -> None:
    """Finds the groups, shows them, and changes what was asked for.

    Raises:
        CommandFailure: wrong options.
        typer.Exit: with status 1 where some files could not be scored, rated or moved.
        Exception: as of :class:`app.scoring.offline.Scorer`.
    """
    if options.move is not None:
        _require_folder(options.move)
    fetch_where_asked(settings)
    settings = settings.model_copy(update={"models": (answering(settings.models),)})
    failures: list[ScoredFile] = []
    photos = list(_scored(options, settings, failures))
    groups = _grouped(photos)
    if options.as_json:
        for group in groups:
            print(json.dumps(_as_json(group), ensure_ascii=False))
    elif options.as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(_rows(groups))
    else:
        _show(groups)
    others = sum(len(group.members) - 1 for group in groups)
    complain(f"{len(photos)} photographs: {len(groups)} groups of near duplicates with {others} to spare.")
    if options.xmp:
        failures += _rate(groups, overwrite=options.overwrite_xmp)
    if options.move is not None:
        failures += _move(groups, options.move)
    report_failures(failures, len(photos))
    if failures:
        raise typer.Exit(SOME_FAILED)


def _require_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        fail(f"{shown(folder)} is a file; --move needs a folder.")
    if not folder.parent.is_dir():
        fail(f"There is no folder {shown(folder.parent)} to make {shown(folder.name)} in.")


def _scored(options: PickOptions, settings: Settings, failures: list[ScoredFile]) -> Iterator[_Photo]:
    """The photographs that could be scored; all others are added to `failures`."""
    meant = Meant(options.files, recursive=options.recursive)
    paths = [path for path in meant if options.move is None or not _lies_in(path, options.move)]
    with (
        Meter("scoring", len(paths)) as meter,
        stoppable() as stopped,
        contextlib.closing(Scorer(settings, looks=True).score(paths)) as results,
    ):
        for scored in results:
            meter.advance()
            if scored.answer is None or scored.look is None:
                failures.append(scored)
            else:
                yield _Photo(scored.local, AnsweredImage(scored.answer, scored.look))
            if stopped():
                raise KeyboardInterrupt(f"Interrupted after {meter.done} of {len(paths)} files.")
    meant.count()
    failures += meant.failures


def _lies_in(path: Path, folder: Path) -> bool:
    """What an earlier run has moved away is not looked at again."""
    return folder.resolve() in path.resolve().parents


def _grouped(photos: Sequence[_Photo]) -> list[_Group]:
    groups = pick_best([photo.seen for photo in photos], threads=cores())
    return [_group(each, photos) for each in groups if len(each.members) > 1]


def _group(group: PickedGroup, photos: Sequence[_Photo]) -> _Group:
    members = (
        _Member(photos[number].path, photos[number].seen.answer.score, advantage)
        for number, advantage in zip(group.members, group.choice.advantages, strict=True)
    )
    return _Group(tuple(sorted(members, key=lambda member: not member.keep)), group.choice.reason)


def _as_json(group: _Group) -> dict[str, Any]:
    keep, *others = group.members
    return {
        "keep": str(keep.path),
        "score": round(keep.score, 6),
        "reason": group.reason,
        "others": [
            {"file": str(each.path), "score": round(each.score, 6), "advantage": each.advantage}
            for each in others
        ],
    }


def _rows(groups: Sequence[_Group]) -> Iterator[tuple[object, ...]]:
    for number, group in enumerate(groups, 1):
        for each in group.members:
            keep, why = ("yes", group.reason) if each.keep else ("no", "")
            yield number, str(each.path), keep, round(each.score, 6), each.advantage or "", why


def _show(groups: Sequence[_Group]) -> None:
    if not groups:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("group", justify="right")
    table.add_column("photograph", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("")
    for number, group in enumerate(groups, 1):
        for each in group.members:
            said = f"keep: {group.reason}" if each.keep else ""
            first = str(number) if each.keep else ""
            table.add_row(
                first, cell(each.path), f"{each.score:.3f}", said, end_section=each is group.members[-1]
            )
    console().print(table)


def _rate(groups: Sequence[_Group], *, overwrite: bool) -> list[ScoredFile]:
    """Writes the ratings; returns the photographs of which that failed."""
    written = []

    def rate(member: _Member) -> None:
        rating = KEPT_RATING if member.keep else OTHER_RATING
        written.append(write_rating(member.path, rating, overwrite=overwrite))

    failures = _tried(rate, [each for group in groups for each in group.members])
    complain(f"{sum(written)} sidecars written.")
    if stayed := written.count(False):
        complain(f"{stayed} that exist were left as they are; --overwrite-xmp replaces them.")
    return failures


def _move(groups: Sequence[_Group], folder: Path) -> list[ScoredFile]:
    """Moves the photographs that are not kept; returns those of which that failed."""
    folder.mkdir(exist_ok=True)
    others = [each for group in groups for each in group.members if not each.keep]
    failures = _tried(lambda member: move_away(member.path, folder), others)
    complain(f"{len(others) - len(failures)} photographs moved to {shown(folder)}.")
    return failures


def _tried(change: Callable[[_Member], object], members: Sequence[_Member]) -> list[ScoredFile]:
    failures = []
    for member in members:
        try:
            change(member)
        except OSError as error:
            reason = error.strerror or str(error)
            failures.append(ScoredFile(member.path, None, f"It cannot be changed: {reason}."))
    return failures
