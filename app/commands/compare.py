"""``iqa compare``: compares a distorted image with its reference, in this process."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich import box
from rich.table import Table

from app.commands.flags import IN_PROCESS, PAIR_WEIGHTS, with_options, with_settings
from app.commands.official import fetch_where_asked
from app.commands.score import NOT_GOOD_ENOUGH, Verdicts
from app.commands.table import show_verdict
from app.commands.terminal import SOME_FAILED, cell, complain, console, fail, reported, require_writable
from app.printable import shown
from app.schemas.common import values_of
from app.schemas.measured.pair_measures import MEASURES_OF_FILES, MeasureOfFiles
from app.settings import Settings

if TYPE_CHECKING:
    from app.policies import Policy
    from app.schemas.compare import UntimedCompare
    from app.scoring.offline import Scorer

_ONLY_OVER_HTTP: Final = {"timing_ms", "batch"}
_WORDS_SHOWN: Final = 6
_SHOWN_AS: Final[Mapping[MeasureOfFiles, str]] = {
    "ms_ssim": "MS-SSIM",
    "haarpsi": "HaarPSI",
    "vsi": "VSI",
    "mdsi": "MDSI",
    "cvvdp": "CVVDP",
}


class Resize(StrEnum):
    """What to do where the sizes differ."""

    none = "none"
    reference = "reference"


@dataclass(frozen=True)
class CompareOptions:
    """Arguments and options of ``iqa compare``, beside the settings."""

    reference: Annotated[
        Path, typer.Argument(help="The image as it should be, or a folder of such.", show_default=False)
    ]
    distorted: Annotated[
        Path, typer.Argument(help="The image to be judged, or a folder of such.", show_default=False)
    ]
    resize: Annotated[
        Resize,
        typer.Option(help="Refuse another size than the reference's, or bring the distorted image to it."),
    ] = Resize.none
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON, as POST /compare answers; of folders a line for each pair, as with "
            "detail=summary.",
        ),
    ] = False
    policy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Judge by this policy, as `transcode`.", show_default=False),
    ] = None
    fail_on: Annotated[
        Verdicts | None,
        typer.Option(
            help="With --policy: exit status 3 if a distorted image fails, or if one does not pass.",
            show_default=False,
        ),
    ] = None
    measures: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Measures beside PSNR and SSIM, out of {', '.join(MEASURES_OF_FILES)}.",
            show_default=False,
        ),
    ] = ""
    picture: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="PNG to write of where two images differ, as POST /compare/map answers.",
            show_default=False,
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write the comparisons of two folders to, the worst first, instead of printing "
            "them: .jsonl, .csv or .parquet.",
            show_default=False,
        ),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --out where an earlier run stopped.")
    ] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out where it exists.")] = False


@reported
@with_settings(*IN_PROCESS, PAIR_WEIGHTS, "policies_file")
@with_options
def compare_files(options: CompareOptions, settings: Settings) -> None:
    """Compare an image with its reference, or a folder of images with a folder of references.

    The score is 1 where they cannot be told apart. --models chooses the no-reference models that score each
    of the two beside it.

    Images of two folders belong together by their names below them; the extension may differ. What has no
    partner is named in the table and at the end.

    Exit status: 0; 1 if a file cannot be used or has no partner; 2 for wrong usage, settings or weights; 3
    for --fail-on, if all were compared; 130 after Ctrl-C.
    """
    folders = _are_folders(options)
    policy = _policy(options, settings)
    if folders:
        bad, failed = _compare_folders(options, settings, policy)
    else:
        bad, failed = _compare_two(options, settings, policy), False
    if failed:
        raise typer.Exit(SOME_FAILED)
    if bad:
        raise typer.Exit(NOT_GOOD_ENOUGH)


def _are_folders(options: CompareOptions) -> bool:
    """Whether two folders are named; refuses what cannot be combined."""
    folders = [path.is_dir() for path in (options.reference, options.distorted)]
    if folders[0] != folders[1]:
        fail("A folder is compared with a folder, and a file with a file.")
    if options.fail_on is not None and options.policy is None:
        fail("--fail-on needs --policy.")
    if options.out is not None and not folders[0]:
        fail("--out is for two folders; of two files, --json prints the answer.")
    if options.picture is not None and folders[0]:
        fail("--map is for two files.")
    if options.as_json and options.out is not None:
        fail("--json prints what --out would write: it can only be one of them.")
    if (options.overwrite or options.resume) and options.out is None:
        fail(f"--{'overwrite' if options.overwrite else 'resume'} goes with --out.")
    if options.overwrite and options.resume:
        fail("--resume goes on with a file, --overwrite begins it again: it can only be one of them.")
    for path in (options.out, options.picture):
        require_writable(path)
    if options.out is not None and not options.resume:
        _begin_anew(options.out, options.overwrite)
    return folders[0]


def _begin_anew(out: Path, overwrite: bool) -> None:
    """Makes room for a file of comparisons, where that is asked for.

    Raises:
        CommandFailure: there is one already, or a part of it.
    """
    from app.bulk.part_file import part_of, remove_part

    if overwrite:
        remove_part(out)
    elif out.exists():
        fail(f"{shown(out)} exists already: --overwrite replaces it.")
    elif part_of(out).exists():
        begun = f"{shown(out)} was begun and is not finished"
        fail(f"{begun}: --resume goes on with it, --overwrite begins it again.")


def _policy(options: CompareOptions, settings: Settings) -> "Policy | None":
    if options.policy is None:
        return None
    from app.policies import choose, load

    known = load(settings.policies_file)
    return choose(options.policy, known, settings.models, settings.models, compared=True)


def measures_asked(text: str, policy: "Policy | None" = None) -> tuple[MeasureOfFiles, ...]:
    """The measures that an option names, separated by commas, and those that a policy limits.

    Raises:
        CommandFailure: there is none of a name, or it is not installed.
    """
    asked = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := sorted(asked - set(MEASURES_OF_FILES)):
        fail(f"There is no measure {unknown[0]!r}; there are {', '.join(MEASURES_OF_FILES)}.")
    if "cvvdp" in asked and find_spec("pycvvdp") is None:
        fail("ColorVideoVDP is computed by the extra `perceptual`: pip install 'iqa-service[perceptual]'.")
    limited = () if policy is None else policy.published
    return tuple(name for name in MEASURES_OF_FILES if name in asked or name in limited)


def _scorer(settings: Settings, policy: "Policy | None", measures: tuple[MeasureOfFiles, ...]) -> "Scorer":
    from app.policies import require_grades
    from app.scoring.offline import Scorer

    fetch_where_asked(settings)
    scorer = Scorer(settings, full_reference=True, measures=measures)
    if policy is not None:
        require_grades(policy, scorer.grades)
    return scorer


def _compare_two(options: CompareOptions, settings: Settings, policy: "Policy | None") -> bool:
    """Compares two files and shows what came of it; returns whether --fail-on looks for that."""
    from app.scoring.offline import FileFailure

    scorer = _scorer(settings, policy, measures_asked(options.measures, policy))
    try:
        answer, pair = scorer.compare(
            options.reference,
            options.distorted,
            resize=options.resize is Resize.reference,
            difference_map=options.picture is not None,
        )
    except FileFailure as failure:
        complain(str(failure))
        raise typer.Exit(SOME_FAILED) from failure
    if policy is not None:
        from app.policies import with_pair_verdict

        answer = with_pair_verdict(policy, answer)
    if options.picture is not None:
        options.picture.write_bytes(pair.difference_picture())
    if options.as_json:
        print(_to_json(options.reference, options.distorted, answer))
    else:
        _show(answer)
    return answer.verdict is not None and _is_looked_for(answer.verdict.outcome, options.fail_on)


def _compare_folders(
    options: CompareOptions, settings: Settings, policy: "Policy | None"
) -> tuple[bool, bool]:
    """Compares two folders; returns whether --fail-on looks for a verdict, and whether a file is left out."""
    from app.bulk.comparisons.matching import match
    from app.bulk.file_formats import format_of
    from app.bulk.part_file import part_of
    from app.commands.compare_run import PairOutput, compare_folders, finished_run, require_a_table

    folders = options.reference, options.distorted
    file_format = None if options.out is None else format_of(options.out)
    measures = measures_asked(options.measures, policy)
    output = PairOutput(options.out, file_format, options.as_json, measures)
    matched = match(*folders)
    require_a_table(len(matched.pairs), output)
    if (
        options.out is not None
        and options.resume
        and options.out.exists()
        and not part_of(options.out).exists()
    ):
        run = finished_run(output)
    else:
        run = compare_folders(
            _scorer(settings, policy, measures),
            folders,
            matched,
            output,
            resize=options.resize is Resize.reference,
            policy=policy,
        )
    if run.interrupted:
        further = (
            "what is shown is of the pairs before that."
            if options.out is None
            else "the same command with --resume goes on from there."
        )
        raise KeyboardInterrupt(f"Interrupted; {further}")
    return any(_is_looked_for(outcome, options.fail_on) for outcome in run.outcomes), run.failed > 0


def _is_looked_for(outcome: str, fail_on: Verdicts | None) -> bool:
    if fail_on is None:
        return False
    return outcome == "fail" or (fail_on is Verdicts.review and outcome == "review")


def _to_json(reference: Path, distorted: Path, answer: "UntimedCompare") -> str:
    image = {"batch", "quality_map", "embedding", "detail"}
    fields = answer.model_dump(
        mode="json", exclude={**dict.fromkeys(_ONLY_OVER_HTTP, True), "reference": image, "distorted": image}
    )
    fields["reference"]["file"], fields["distorted"]["file"] = str(reference), str(distorted)
    return json.dumps(fields, ensure_ascii=False)


def _show(answer: "UntimedCompare") -> None:
    out = console()
    out.print(
        f"score {answer.score:.3f} (full-reference {answer.model}; 1 is indistinguishable)", soft_wrap=True
    )
    if answer.grade is not None:
        out.print(f"The distortion is {answer.grade}.", soft_wrap=True)
    psnr = "identical pixels" if answer.signal.psnr_db is None else f"{answer.signal.psnr_db:.2f} dB"
    known = {_SHOWN_AS[name]: getattr(answer.signal, name) for name in MEASURES_OF_FILES}
    further = "".join(f", {name} {value:.4f}" for name, value in known.items() if value is not None)
    out.print(f"PSNR {psnr}, SSIM {answer.signal.ssim:.4f}{further}", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(answer.differences.model)
    for name in ("reference", "distorted", "difference"):
        table.add_column(name, justify="right")
    rows = {"score": (answer.reference.score, answer.distorted.score, answer.differences.score)}
    if answer.differences.dimensions is not None:
        before, after = values_of(answer.reference.dimensions), values_of(answer.distorted.dimensions)
        for name, difference in answer.differences.dimensions.model_dump().items():
            rows[name] = (before[name], after[name], difference)
    for name, (early, late, difference) in rows.items():
        table.add_row(name, f"{early:.3f}", f"{late:.3f}", f"{difference:+.3f}")
    out.print(table)
    changed = sorted(answer.differences.adjectives, key=lambda word: word.probability, reverse=True)
    words = ", ".join(
        f"{word.adjective} {word.probability:+.2f}" for word in changed[:_WORDS_SHOWN] if word.probability > 0
    )
    if words:
        out.print(f"The distorted image is more {words}.", soft_wrap=True)
    if answer.verdict is not None:
        show_verdict(answer.verdict)
    for warning in dict.fromkeys([*answer.warnings, *answer.reference.warnings, *answer.distorted.warnings]):
        out.print(cell(warning), soft_wrap=True)
