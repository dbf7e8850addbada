"""Whole trainings, from folders of photographs to a weights file: what ``iqa train`` calls."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from models.bpclip import BPCLIP, compact
from models.preprocessing import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from models.qualiclip import COMPACT, PROMPTS, QualiCLIP
from models.state import stored, transfer
from models.training import bpclip, qualiclip
from models.training.bpclip import NoReferenceRecipe
from models.training.first_opinion import ranked
from models.training.loop import Budget, Recipe, TrainingError, train
from models.training.photos import digest, list_photos, list_scored
from models.training.prompts import settle_prompts
from models.training.qualiclip import QualiCLIPRecipe
from models.training.samples import Rated, RatedCrops, Snapshots
from models.training.whole import WholePhotographsRecipe
from models.training.words import settle_words
from models.weights import Metadata, ModelName, Weights, WeightsInvalid, read, save

LONGEST_SIDE = 768
"""Pixels; what the bundled weights bring larger photographs down to. They learned from photographs of some
512 px, and fine faults of a much larger one are neither what they know nor what is seen on a screen."""
_PRETRAINING = 0.4
"""Share of the budget in which a model that begins from nothing learns faults alone, and its batch norm."""
_WHOLE = 0.15
"""Share of the rest in which BPCLIP looks at whole photographs."""
_RATED_CROP = 384  # px; nearly a whole photograph of those that the weights are for
VALIDATED_SIDES = (300, 768)  # of what is scored: our measurements are on photographs of these sizes


@dataclass(frozen=True)
class Job:
    """What to train, on what, where to.

    Attributes:
        model: which one.
        pristine: folder of good photographs, for all three.
        scored: folder of photographs with ``scores.csv``; bpclip needs it, bpclip-fr takes its photographs as
            references too where it is given.
        out: the weights file to write.
        run: folder of the checkpoint and the log.
        budget: how long and how fast.
        init: weights to begin from; bpclip-fr begins from those of bpclip, or goes on from its own.
        unlabelled: folder of photographs as people take them, for qualiclip, which sees no scores.
        license: of the weights, for the file's metadata.
        seed: of the start values and all samples.
    """

    model: ModelName
    pristine: Path
    out: Path
    run: Path
    budget: Budget
    scored: Path | None = None
    init: Path | None = None
    unlabelled: Path | None = None
    license: str = "not stated"
    seed: int = 0


@dataclass(frozen=True)
class Stage:
    """A part of a training: a recipe, its share of the budget, and the folder of its run within the job's.

    The recipe is made when the stage begins: it may look at what the network has learned by then.
    """

    recipe: Callable[[], Recipe]
    share: float = 1.0
    folder: str = "."


@dataclass(frozen=True)
class _Plan:
    """The network, the stages that it goes through, in words what it learns from, and a last touch."""

    network: QualiCLIP | BPCLIP
    stages: tuple[Stage, ...]
    trained_on: str
    finish: Callable[[Any], object] = lambda network: None


def run_job(job: Job, *, quiet: bool = False) -> Path:
    """Train the compact architecture of a model and write its weights.

    What begins from nothing learns faults first, for a part of the budget, and then all that it is to learn.

    Raises:
        TrainingError, DataError, WeightsError: what is wrong, in one sentence.
    """
    torch.manual_seed(job.seed)
    plan = {"qualiclip": _qualiclip, "bpclip": _bpclip, "bpclip-fr": _bpclip_fr}[job.model](job, quiet)
    for stage in plan.stages:
        averaged = train(stage.recipe(), _part(job.budget, stage.share), job.run / stage.folder, quiet=quiet)
        plan.network.load_state_dict(averaged.state_dict())
    plan.finish(plan.network.cpu().eval())
    metadata = Metadata(
        model=job.model,
        name=f"{job.model}-compact",
        architecture=plan.network.config.as_metadata(),
        preprocessing=_preprocessing(job.model),
        temperature=plan.network.temperature,
        prompts=list(PROMPTS) if job.model == "qualiclip" else [],
        text_encoder=False,
        license=job.license,
        source=f"iqa train {job.model}, seed {job.seed}, {job.budget.minutes:g} min on {job.budget.device}",
        training_data=plan.trained_on,
        validated_sides=VALIDATED_SIDES,
        created=datetime.date.today().isoformat(),
    )
    save(job.out, stored(plan.network.cpu().eval().state_dict()), metadata)
    return job.out


def _preprocessing(model: ModelName) -> Preprocessing:
    mean, std = (CLIP_MEAN, CLIP_STD) if model == "qualiclip" else (IMAGENET_MEAN, IMAGENET_STD)
    return Preprocessing(mean=mean, std=std, longest_side=LONGEST_SIDE)


def _part(budget: Budget, share: float) -> Budget:
    steps = None if budget.steps is None else max(1, round(share * budget.steps))
    return replace(budget, minutes=share * budget.minutes, steps=steps)


def _qualiclip(job: Job, quiet: bool) -> _Plan:
    pristine = list_photos(job.pristine)
    network = QualiCLIP(COMPACT, qualiclip.TEMPERATURE)
    if job.init is not None:
        transfer(read(job.init, "qualiclip").tensors, network)
    trained_on = _in_words(pristine, job.pristine)
    real: list[Path] = []
    if job.unlabelled is not None:
        real = list_photos(job.unlabelled)
        trained_on += f" and, without any score, {_in_words(real, job.unlabelled)}"

    def last() -> Recipe:
        rated: Dataset[Rated] = Snapshots(pristine, _RATED_CROP, seed=job.seed + 2)
        if real:
            rated = RatedCrops(ranked(real, quiet=quiet), _RATED_CROP, seed=job.seed + 2)
        return QualiCLIPRecipe(network, pristine, rated, real, seed=job.seed)

    words = _words(job, pristine, real, quiet)

    def finish(trained: QualiCLIP) -> None:
        words(trained)
        settle_prompts(trained, _preprocessing(job.model), pristine, seed=job.seed + 6, quiet=quiet)

    if job.init is not None:
        return _Plan(network, (Stage(last),), trained_on, finish)
    first = partial(QualiCLIPRecipe, network, pristine, seed=job.seed)
    return _Plan(network, _from_nothing(first, Stage(last)), trained_on, finish)


def _bpclip(job: Job, quiet: bool) -> _Plan:
    if job.scored is None:
        raise TrainingError("Training bpclip needs a folder of photographs with scores.")
    pristine, scored = list_photos(job.pristine), list_scored(job.scored)
    network = BPCLIP(compact(full_reference=False), bpclip.TEMPERATURE)
    if job.init is not None:
        transfer(read(job.init, "bpclip").tensors, network)
    paths = [photo.path for photo in scored]
    trained_on = (
        f"{_in_words(pristine, job.pristine)} and, with people's scores, {_in_words(paths, job.scored)}"
    )
    own = (
        Stage(partial(NoReferenceRecipe, network, scored, pristine, seed=job.seed), 1 - _WHOLE, "crops"),
        Stage(
            partial(WholePhotographsRecipe, network, scored, pristine, seed=job.seed, quiet=quiet),
            _WHOLE,
            "whole",
        ),
    )
    words = _words(job, pristine, paths, quiet)
    if job.init is not None:
        return _Plan(network, own, trained_on, words)
    first = partial(NoReferenceRecipe, network, [], pristine, seed=job.seed)
    return _Plan(network, _from_nothing(first, *own), trained_on, words)


def _bpclip_fr(job: Job, quiet: bool) -> _Plan:
    if job.init is None:
        raise TrainingError(
            "Training bpclip-fr begins from weights of bpclip: a batch norm that is frozen must have learned."
        )
    from models.training.bpclip_fr import FullReferenceRecipe, calibrate  # only this one needs piq

    references = list_photos(job.pristine)
    trained_on = _in_words(references, job.pristine)
    if job.scored is not None:
        others = [photo.path for photo in list_scored(job.scored)]
        trained_on += f" and {_in_words(others, job.scored)}"
        references += others
    network = BPCLIP(compact(full_reference=True), bpclip.TEMPERATURE)
    transfer(_to_begin_from(job.init).tensors, network)
    stage = Stage(partial(FullReferenceRecipe, network, references, seed=job.seed))
    last = partial(calibrate, references=references, seed=job.seed)
    return _Plan(network, (stage,), f"{trained_on}, labelled by VSI, HaarPSI, MDSI and GMSD", last)


def _words(
    job: Job, pristine: Sequence[Path], others: Sequence[Path], quiet: bool
) -> Callable[[Any], object]:
    return partial(
        settle_words,
        preprocessing=_preprocessing(job.model),
        pristine=pristine,
        others=others,
        seed=job.seed + 5,
        quiet=quiet,
    )


def _to_begin_from(path: Path) -> Weights:
    """Weights of bpclip, or of bpclip-fr to go on with."""
    try:
        return read(path, "bpclip-fr")
    except WeightsInvalid:
        return read(path, "bpclip")


def _from_nothing(first: Callable[[], Recipe], *others: Stage) -> tuple[Stage, ...]:
    rest = (replace(stage, share=(1 - _PRETRAINING) * stage.share) for stage in others)
    return Stage(first, _PRETRAINING, "pretraining"), *rest


def _in_words(paths: Sequence[Path], folder: Path) -> str:
    return f"{len(paths)} photographs of {folder.name} (digest {digest(paths)[:12]})"
