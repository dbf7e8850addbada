"""``iqa compare``: compares a distorted image with its reference, in this process."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich import box
from rich.table import Table

from app.commands.flags import IN_PROCESS, PAIR_WEIGHTS, with_settings
from app.commands.official import fetch_where_asked
from app.commands.terminal import SOME_FAILED, cell, complain, console, reported
from app.schemas.common import values_of
from app.settings import Settings

if TYPE_CHECKING:
    from app.schemas.compare import UntimedCompare

_ONLY_OVER_HTTP: Final = {"timing_ms", "batch"}
_WORDS_SHOWN: Final = 6


class Resize(StrEnum):
    """What to do where the sizes differ."""

    none = "none"
    reference = "reference"


@reported
@with_settings(*IN_PROCESS, PAIR_WEIGHTS)
def compare_files(
    reference: Annotated[Path, typer.Argument(help="The image as it should be.", show_default=False)],
    distorted: Annotated[Path, typer.Argument(help="The image to be judged.", show_default=False)],
    settings: Settings,
    resize: Annotated[
        Resize,
        typer.Option(help="Refuse another size than the reference's, or bring the distorted image to it."),
    ] = Resize.none,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as POST /compare answers.")] = False,
) -> None:
    """Compare an image with its reference.

    The score is 1 where they cannot be told apart. --models chooses the no-reference models that score each
    of the two beside it.

    Exit status: 0; 1 if a file cannot be used; 2 for wrong usage, settings or weights.
    """
    from app.scoring.offline import FileFailure, Scorer

    fetch_where_asked(settings)
    scorer = Scorer(settings, full_reference=True)
    try:
        answer = scorer.compare(reference, distorted, resize=resize is Resize.reference)
    except FileFailure as failure:
        complain(str(failure))
        raise typer.Exit(SOME_FAILED) from failure
    if as_json:
        print(_to_json(reference, distorted, answer))
    else:
        _show(answer)


def _to_json(reference: Path, distorted: Path, answer: "UntimedCompare") -> str:
    image = {"batch", "quality_map"}
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
    psnr = "identical pixels" if answer.signal.psnr_db is None else f"{answer.signal.psnr_db:.2f} dB"
    out.print(f"PSNR {psnr}, SSIM {answer.signal.ssim:.4f}", soft_wrap=True)
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
    for warning in dict.fromkeys([*answer.warnings, *answer.reference.warnings, *answer.distorted.warnings]):
        out.print(cell(warning), soft_wrap=True)
