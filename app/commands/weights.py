"""``iqa weights``: which weights there are, what they say of themselves, the official ones, calibration."""

import json
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.commands.flags import IN_PROCESS, PAIR_WEIGHTS, with_settings
from app.commands.official import SHA256_VARIABLE, fetch_where_asked, fetch_with_progress
from app.commands.terminal import cell, complain, console, fail, reported
from app.printable import shown
from app.settings import Settings
from models.grades import GRADES
from models.registry import spec_of

if TYPE_CHECKING:
    from models.calibration import Calibration
    from models.checkpoints.metadata import Weights
    from models.grades import GradeSteps
    from models.training.calibration import Measured

weights_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="List, fetch, inspect and calibrate weights."
)

_NOT_FETCHED: Final = "The official weights have not been downloaded; `iqa weights fetch official` does it."

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Fetchable(StrEnum):
    """What can be downloaded."""

    official = "official"


@weights_app.command("list")
@reported
def list_weights(as_json: AsJson = False) -> None:
    """List the bundled weights, and the official ones where they have been downloaded."""
    entries = [*_bundled(), _official()]
    if as_json:
        print(json.dumps(entries))
        return
    out = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("weights", "size", "SHA-256", "license", "accuracy"):
        table.add_column(name, justify="right" if name == "size" else "left", overflow="fold")
    for entry in entries:
        size = "" if entry["bytes"] is None else f"{entry['bytes'] / 1e6:.1f} MB"
        accuracy = "\n".join(f"{name} {value:.3f}" for name, value in entry["accuracy"].items())
        texts = (entry["sha256"] or "not usable", entry["license"], accuracy)
        table.add_row(cell(entry["name"]), size, *map(escape, texts))
    out.print(table)
    for entry in entries:
        if entry["problem"]:
            out.print(cell(entry["problem"]), soft_wrap=True)


@weights_app.command()
@reported
def fetch(
    which: Annotated[Fetchable, typer.Argument(help="Which weights: official, QualiCLIP's own.")],
    sha256: Annotated[
        str | None,
        typer.Option(
            help=f"What the file must hash to. Else {SHA256_VARIABLE}, or what the first download hashed to.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Download the official QualiCLIP weights. What was cut off goes on where it ended."""
    print(shown(fetch_with_progress(sha256)))


@weights_app.command()
@reported
@with_settings(*IN_PROCESS, PAIR_WEIGHTS)
def export(settings: Settings) -> None:
    """Prepare the models for this machine, so that the next start takes less time.

    The runtime openvino traces and compiles each model at its first start and keeps the result in the cache
    of the user (below $XDG_CACHE_HOME, by default ~/.cache). This command does the same without starting the
    service.
    """
    from app.inference.build import engine_for

    fetch_where_asked(settings)
    engine = engine_for(settings)
    for card in engine.cards():
        print(f"{card.name}: {card.weights}, {engine.runtime} on {engine.device}, {card.dtype}")


@weights_app.command()
@reported
def inspect(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH|NAME|bundled|official",
            help="A weights file, the name of bundled weights or of their model, or a source.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Check weights, and print what they say of themselves. `bundled` are three files."""
    from models.checkpoints.sources import bundled_path, load_weights
    from models.loading import build
    from models.registry import BUNDLED

    named = [name for name in BUNDLED if source in (name, bundled_path(name).stem)]
    if named:
        found = [load_weights(name) for name in named]
    elif source == "bundled":
        found = [load_weights(name, source) for name in BUNDLED]
    elif source == "official":
        found = [load_weights("qualiclip", source)] if _official_is_here() else []
    else:
        found = [_read_any(Path(source).expanduser())]
    if not found:
        fail(_NOT_FETCHED)
    for weights in found:
        card = {
            **weights.metadata.model_dump(mode="json"),
            "sha256": weights.sha256,
            "file": str(weights.path),
            "bytes": weights.path.stat().st_size if weights.path is not None else None,
            # Building the model is what shows that the tensors fit the architecture that they name.
            "parameters": sum(parameter.numel() for parameter in build(weights).module.parameters()),
        }
        if as_json:
            print(json.dumps(card, ensure_ascii=False))
        else:
            _show_card(card)


@weights_app.command("calibrate")
@reported
def calibrate_weights(
    file: Annotated[
        Path, typer.Argument(help="A weights file of ours, which is changed.", show_default=False)
    ],
    clean: Annotated[
        Path,
        typer.Option(help="Folder of good photographs, without faults.", show_default=False),
    ],
    real: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photographs as people take them, good and bad. bpclip-fr needs none.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="What the real photographs are; else their folder's name.", show_default=False),
    ] = None,
    photographs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Maximum of clean photographs, which are distorted in many ways; all by default.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is random.")] = 0,
) -> None:
    """Measure what scores and words of weights amount to, and write it into their file.

    The file gets percentiles of the scores, the readings (excellent to bad) and the thresholds of the faults
    that the page, `iqa score` and reports show; that of a full-reference model gets the grades of a
    distortion. The tensors stay as they are; the SHA-256 changes and is printed. Of each folder, the files
    that are held out for `iqa evaluate --split holdout` are left out.
    """
    from models.checkpoints.saving import save
    from models.training.photos import list_photos

    path = file.expanduser().resolve()  # a link stays one
    weights = _read_any(path)
    if not _is_safetensors(path):
        fail(f"{shown(path)} is the official checkpoint, which has no room for a calibration.")
    good = list_photos(clean.expanduser(), "train")
    update: dict[str, object]
    if spec_of(weights.metadata.model).full_reference:
        update = {"grades": _grades(weights, good, source or _named(clean), photographs, seed)}
    elif real is None:
        fail("Readings are measured on photographs as people take them: --real FOLDER.")
    else:
        people = list_photos(real.expanduser(), "train")
        update = {
            "calibration": _calibration(weights, people, good, source or _named(real), photographs, seed)
        }
    print(save(path, weights.tensors, weights.metadata.model_copy(update=update), dtype=None))


def _named(folder: Path) -> str:
    return f"photographs of the folder {shown(folder.resolve().name)}"


def _grades(
    weights: "Weights", good: Sequence[Path], source: str, photographs: int | None, seed: int
) -> "GradeSteps":
    from models.bpclip.model import BPCLIP
    from models.loading import build
    from models.training.grading import measure_grades

    model = build(weights).module.eval()
    assert isinstance(model, BPCLIP)
    found = measure_grades(
        model,
        weights.metadata.preprocessing,
        good,
        source=source,
        photographs=photographs,
        seed=seed,
        quiet=not sys.stderr.isatty(),
    )
    named = ", ".join(f"{name} from {step:.3f}" for name, step in zip(GRADES, found.steps, strict=False))
    complain(f"{found.photographs} good photographs; {named}.")
    return found


def _calibration(
    weights: "Weights",
    real: Sequence[Path],
    good: Sequence[Path],
    source: str,
    photographs: int | None,
    seed: int,
) -> "Calibration":
    from models.loading import build
    from models.training.calibration import calibrate

    found = calibrate(
        build(weights).module.eval(),
        weights.metadata.preprocessing,
        real,
        good,
        source=source,
        photographs=photographs,
        seed=seed,
        quiet=not sys.stderr.isatty(),
    )
    _show_calibration(found)
    return found.calibration


def _bundled() -> Iterator[dict[str, Any]]:
    from models.checkpoints.errors import WeightsError
    from models.checkpoints.sources import bundled_path, load_weights
    from models.registry import BUNDLED

    for name in BUNDLED:
        path = bundled_path(name)
        try:
            weights = load_weights(name)
        except WeightsError as error:
            yield _entry(path.stem, path, problem=str(error))
            continue
        metadata = weights.metadata
        yield _entry(metadata.name, path, weights.sha256, metadata.license, metadata.accuracy)


def _official() -> dict[str, Any]:
    from models.checkpoints.errors import WeightsError
    from models.qualiclip.official import LICENSE, official_path, read_official

    path = official_path()
    if not path.is_file():
        return _entry("qualiclip-official", path, license=LICENSE, problem=_NOT_FETCHED)
    try:
        weights = read_official(path)
    except WeightsError as error:
        return _entry("qualiclip-official", path, license=LICENSE, problem=str(error))
    return _entry(weights.metadata.name, path, weights.sha256, LICENSE, weights.metadata.accuracy)


def _entry(
    name: str,
    path: Path,
    sha256: str | None = None,
    license: str = "",
    accuracy: dict[str, float] | None = None,
    problem: str | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "file": str(path),
        "bytes": path.stat().st_size if path.is_file() else None,
        "sha256": sha256,
        "license": license,
        "accuracy": accuracy or {},
        "problem": problem,
    }


def _official_is_here() -> bool:
    from models.qualiclip.official import official_path

    return official_path().is_file()


def _read_any(path: Path) -> "Weights":
    """Reads weights of whichever model the file says that it holds.

    Raises:
        WeightsError: it cannot be used as that.
    """
    from models.checkpoints.sources import read

    return read(path, _model_of(path))


def _model_of(path: Path) -> str:
    """The model that a file names; where it names none, any will say best what is wrong with it."""
    import safetensors

    from models.registry import BUNDLED

    try:
        with safetensors.safe_open(path, "pt") as file:
            stored = json.loads(file.metadata()["iqa"])["model"]
    except (OSError, safetensors.SafetensorError, ValueError, TypeError, KeyError):
        return "qualiclip"
    return next((name for name in BUNDLED if name == stored), "qualiclip")


def _is_safetensors(path: Path) -> bool:
    import safetensors

    try:
        with safetensors.safe_open(path, "pt"):
            return True
    except safetensors.SafetensorError:
        return False


def _show_calibration(found: "Measured") -> None:
    """On standard error, so that the digest alone is on standard output."""
    calibration = found.calibration
    out = Console(stderr=True)
    steps = ", ".join(f"{name} from {score:.3f}" for name, score in calibration.readings.model_dump().items())
    out.print(f"{calibration.photographs} real photographs; {steps}.", soft_wrap=True, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("fault", no_wrap=True)
    for name in (
        "slight above",
        "strong above",
        "from fair on",
        "clean blamed",
        "spoilt found",
        "spoilt strong",
        "from fair on",
    ):
        table.add_column(name, justify="right")
    for fault, rates in found.rates.items():
        limits = calibration.faults.get(fault)
        texts = ["not named", "", ""]
        if limits is not None:
            thresholds = (limits.slight, limits.strong, limits.strong_for(fair=True))
            texts = [f"{threshold:.3f}" for threshold in thresholds]
        shares = (rates.clean, rates.slight, rates.strong, rates.strong_from_fair)
        table.add_row(fault, *texts, *(f"{100 * share:.1f} %" for share in shares))
    out.print(table)


def _show_card(card: dict[str, Any]) -> None:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in card.items():
        if name == "calibration" and value is not None:  # its percentiles would fill the screen
            value = {each: part for each, part in value.items() if not each.endswith("_percentiles")}
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
        table.add_row(name.replace("_", " "), cell(text))
    console().print(table)
