"""``iqa compare`` for two folders: pairs by name, compared one after the other, the worst shown first."""

import contextlib
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.table import Table

from app.commands.score_run import to_json
from app.commands.terminal import Meter, cell, complain, console, fail, stoppable
from app.printable import shown
from app.schemas.measured.pair_measures import MeasureOfFiles

if TYPE_CHECKING:
    from app.bulk.comparisons.matching import Matched
    from app.bulk.comparisons.pair_file import UnfinishedPairs
    from app.bulk.file_formats import FileFormat
    from app.bulk.rows import Row
    from app.policies import Policy
    from app.scoring.offline import Scorer
    from app.scoring.outcomes import ComparedFiles, FilePair

_MOST_ROWS: Final = 1000
_MOST_NAMED: Final = 100
_TEXTS: Final = ("grade", "verdict", "reasons", "warnings", "problem")
"""Columns of the table that are shown where some pair has one."""


@dataclass(frozen=True)
class PairRun:
    """What came of two folders.

    Attributes:
        outcomes: of the policy, and how often each came.
        failed: pairs that could not be compared, and images without a partner.
        interrupted: whether Ctrl-C ended it.
    """

    outcomes: Counter[str]
    failed: int
    interrupted: bool


@dataclass(frozen=True)
class PairOutput:
    """Where comparisons go.

    Attributes:
        path: of the file; None where they are printed.
        file_format: of the file.
        as_json: whether they are printed as lines of JSON; otherwise as a table.
        measures: that were asked for beside PSNR and SSIM.
    """

    path: Path | None = None
    file_format: "FileFormat | None" = None
    as_json: bool = False
    measures: tuple[MeasureOfFiles, ...] = ()


def compare_folders(
    scorer: "Scorer",
    folders: tuple[Path, Path],
    matched: "Matched",
    output: PairOutput,
    *,
    resize: bool,
    policy: "Policy | None",
) -> PairRun:
    """Compares the pairs of two folders and shows or writes what came of them.

    Args:
        scorer: that compares.
        folders: of the references, and of the copies.
        matched: what they hold.
        output: where the comparisons go.
        resize: whether copies of another size are brought to the references'.
        policy: to judge by; None for none.

    Raises:
        OutputError: what there is of the file cannot be gone on with.
        OSError: the file cannot be written.
    """
    from app.bulk.comparisons.pair_rows import unmatched_fields, write_pairs
    from app.bulk.part_file import remove_part

    with _kept(output, _basis(scorer, output.measures, resize, policy)) as unfinished:
        lines, left = _taken_over(unfinished, matched, output.path)
        results = _judged(scorer.compare_each(left, resize=resize), policy)
        interrupted = _gather(results, len(left), lines, unfinished, output.as_json)
        if interrupted and unfinished is not None:
            return PairRun(Counter(), 0, True)
        lines += [unmatched_fields(each) for each in matched.unmatched]
        if output.path is not None and output.file_format is not None:
            names = {"references": str(folders[0]), "copies": str(folders[1])}
            about = {**names, "policy": policy and policy.name}
            write_pairs(output.path, output.file_format, lines, about, output.measures)
    if output.path is not None:
        remove_part(output.path)
    elif not output.as_json:
        _show(lines)
    failures = [_failure(fields) for fields in lines if "problem" in fields]
    _tell(failures, len(lines) - len(failures), output.path)
    verdicts = [fields["verdict"]["outcome"] for fields in lines if fields.get("verdict")]
    return PairRun(Counter(verdicts), len(failures), interrupted)


def _gather(
    results: Generator["Row"],
    count: int,
    lines: list["Row"],
    unfinished: "UnfinishedPairs | None",
    as_json: bool,
) -> bool:
    """Appends the lines of comparisons as they come; returns whether Ctrl-C ended it."""
    with Meter("comparing", count, "pairs") as meter, stoppable() as stopped, contextlib.closing(results):
        for fields in results:
            meter.advance()
            lines.append(fields)
            if unfinished is not None:
                unfinished.append(fields)
            if as_json:
                meter.print(to_json(fields))
            if stopped():
                break
    return meter.done < count


def _kept(
    output: PairOutput, basis: dict[str, Any]
) -> contextlib.AbstractContextManager["UnfinishedPairs | None"]:
    """What keeps the comparisons until their file is written; nothing where there is no file."""
    from app.bulk.comparisons.pair_file import UnfinishedPairs

    return contextlib.nullcontext() if output.path is None else UnfinishedPairs(output.path, basis)


def _basis(
    scorer: "Scorer", measures: Sequence[MeasureOfFiles], resize: bool, policy: "Policy | None"
) -> dict[str, Any]:
    """All that the comparisons depend on beside the images, as JSON has it."""
    from app.policies import described

    return {
        "models": {card.name: [card.sha256, card.dtype] for card in scorer.engine.cards()},
        "max_scored_pixels": scorer.engine.max_scored_pixels,
        "policy": None if policy is None else described(policy, scorer.models, {}).model_dump(mode="json"),
        "measures": list(measures),
        "resize": resize,
    }


def _taken_over(
    unfinished: "UnfinishedPairs | None", matched: "Matched", path: Path | None
) -> tuple[list["Row"], list["FilePair"]]:
    """The lines of an earlier run, and the pairs that are left."""
    before = (
        {} if unfinished is None else {(line["file"], line["reference"]): line for line in unfinished.lines}
    )
    names = [(str(pair.copy), str(pair.reference)) for pair in matched.pairs]
    lines = [before[name] for name in names if name in before]
    left = [pair for name, pair in zip(names, matched.pairs, strict=True) if name not in before]
    if lines and path is not None:
        complain(f"{shown(path)} has {len(lines)} pairs already; {len(left)} are left.")
    return lines, left


def finished_run(output: PairOutput) -> PairRun:
    """What came of two folders whose file is finished.

    Raises:
        OutputError: it is not such a file, or has other measures.
    """
    from app.bulk.comparisons.pair_rows import pair_columns

    assert output.path is not None
    assert output.file_format is not None
    rows = list(output.file_format.read(output.path, pair_columns(output.measures)))
    complain(f"{shown(output.path)} is finished; nothing is left to compare.")
    verdicts = [row["verdict"] for row in rows if row.get("verdict")]
    outcomes = Counter(each["outcome"] if isinstance(each, dict) else each for each in verdicts)
    return PairRun(outcomes, sum(bool(row.get("problem")) for row in rows), False)


def _failure(fields: "Row") -> str:
    """The file and its problem; that of a pair names the file at fault itself."""
    problem: str = fields["problem"]
    return problem if fields["reference"] is not None else f"{shown(fields['file'])}: {problem}"


def _judged(compared: Iterable["ComparedFiles"], policy: "Policy | None") -> Generator["Row"]:
    """The lines of JSON of comparisons, with the verdict of a policy."""
    from app.bulk.comparisons.pair_rows import pair_fields
    from app.policies import with_pair_verdict

    for each in compared:
        if policy is not None and each.answer is not None:
            each = replace(each, answer=with_pair_verdict(policy, each.answer))
        yield pair_fields(each)


def require_a_table(pairs: int, output: PairOutput) -> None:
    """Refuses more pairs than a table on the terminal has rows.

    Raises:
        CommandFailure: they are more.
    """
    if pairs > _MOST_ROWS and output.path is None and not output.as_json:
        fail(
            f"{pairs} pairs are too many for a table, which has {_MOST_ROWS} rows at most: --out FILE keeps "
            "them, --json prints a line for each."
        )


def _show(lines: list["Row"]) -> None:
    from app.bulk.comparisons.pair_rows import flat_pair, worst_first

    rows = [flat_pair(fields) for fields in worst_first(lines)]
    if not rows:
        return
    texts = [
        name
        for name in ("grade", "verdict", "reasons", "warnings", "problem")
        if any(row.get(name) for row in rows)
    ]
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("copy", overflow="fold")
    for name in ("score", "PSNR, dB", "SSIM"):
        grid.add_column(name, justify="right", no_wrap=True)
    for name in texts:
        grid.add_column(name, overflow="fold")
    for row in rows:
        numbers = [_number(row, "score", 3), _decibels(row), _number(row, "ssim", 4)]
        grid.add_row(cell(row["file"]), *numbers, *(cell(_text(row.get(name))) for name in texts))
    console().print(grid)


def _number(row: "Row", name: str, decimals: int) -> str:
    return f"{row[name]:.{decimals}f}" if row.get(name) is not None else ""


def _decibels(row: "Row") -> str:
    return "identical" if "ssim" in row and row["psnr_db"] is None else _number(row, "psnr_db", 2)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(dict.fromkeys(str(each).partition(": ")[0] for each in value))
    return "" if value is None else str(value)


def _tell(failures: list[str], done: int, path: Path | None) -> None:
    """What could not be compared, and how many could."""
    for line in failures[:_MOST_NAMED]:
        complain(line)
    if len(failures) > _MOST_NAMED:
        complain(f"... and {len(failures) - _MOST_NAMED} more.")
    written = "" if path is None else f"{shown(path)}: "
    if path is not None or failures:
        complain(f"{written}{done} pairs compared; {len(failures)} files without a comparison.")
