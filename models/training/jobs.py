"""Whole trainings, from folders of photographs to a weights file: what ``iqa train`` calls."""

import datetime
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.backbones.efficientnet import MEAN, STD, EfficientNetLite
from models.bpclip.model import BPCLIP, compact
from models.checkpoints.architecture import RESNET
from models.checkpoints.metadata import Metadata, Weights
from models.checkpoints.saving import save
from models.checkpoints.sources import read
from models.checkpoints.state_dict import stored, transfer
from models.preprocessing import Preprocessing
from models.qualiclip.model import COMPACT, PROMPTS, LiteTower, QualiCLIP
from models.training.batches import PairBatches, RatedBatches, VariantBatches, any_two, of_every_kind
from models.training.cells import (
    CellArray,
    CellEncoder,
    Look,
    PairEncoder,
    PhotographVariants,
    WholePhotographs,
    look_at,
)
from models.training.encoder import imagenet_encoder, standardized_on
from models.training.heads import bpclip, qualiclip
from models.training.heads.bpclip import BPCLIPHeadRecipe
from models.training.heads.qualiclip import QualiCLIPHeadRecipe
from models.training.optimize import Recipe, TrainingBudget, TrainingError, train
from models.training.own_scores import (
    PairPictures,
    Range,
    ScoredPairBatches,
    held_out_pairs,
    held_out_photographs,
    list_pairs,
)
from models.training.photos import digest, list_photos, list_scored
from models.training.targets.opinion import opinions, pooled
from models.training.targets.pseudo_labels import ranked

LONGEST_SIDE: Final = 768
"""Pixels; what the bundled weights bring larger photographs down to. They learned from photographs of some
512 px, and fine faults of a much larger one are neither what they know nor what is seen on a screen."""
VALIDATED_SIDES: Final = (300, 768)  # of what is scored: our measurements are on photographs of these sizes

PREPROCESSING: Final = Preprocessing(mean=MEAN, std=STD, longest_side=LONGEST_SIDE)
OF_GOOD: Mapping[str, Any] = {
    "side": 448,
    "chains": 13,
    "parts": 3,
    "compounds": 2,
    "ladders": ("export-jpeg", "webp", "gain", "saturation-gain"),
}
OF_OTHERS: Mapping[str, Any] = {"side": 512, "chains": 3, "parts": 1, "compounds": 0}
"""What is made of each good photograph, and of each of :data:`OTHERS` photographs as people take them."""
OF_PAIRS: Mapping[str, Any] = {"side": 448, "chains": 3, "parts": 0, "compounds": 1}
"""What is made of each good photograph to be held beside it."""
OTHERS: Final = 1000
WHOLE: int = 512  # px, of photographs that a number belongs to
_GOOD_AT_ONCE: Mapping[str, int] = {"qualiclip": 4, "bpclip": 3}
_OTHERS_AT_ONCE, _SCORED_AT_ONCE = 5, 40
_OPINION_SHARE: Final = 0.5  # of what bpclip learns of a scored photograph; the rest is people's


@dataclass(frozen=True)
class TrainingJob:
    """What to train, on what, where to.

    Attributes:
        model: which one.
        pristine: folder of good photographs, for all three; None where only people's scores are learned.
        scored: folder of photographs with ``scores.csv``, for bpclip.
        pairs: table of scored pairs, for bpclip-fr, which then learns from nothing else.
        scale: of the scores of the pairs; see :func:`models.training.own_scores.list_pairs`.
        out: the weights file to write.
        run: folder of the checkpoint and the log.
        budget: how long and how fast.
        init: weights of the same model to begin from.
        unlabeled: folder of photographs as people take them. For qualiclip, which sees no scores: without it
            only the order of variants is learned. bpclip-fr has the encoder's maps standardized on them, as
            the models do that it shares the encoder with.
        cells: folder of what the encoder has seen, which trainings on the same photographs share; within
            ``run`` where it is left out.
        license: of the weights, for the file's metadata.
        seed: of the start values and all samples.
    """

    model: str
    pristine: Path | None
    out: Path
    run: Path
    budget: TrainingBudget
    scored: Path | None = None
    init: Path | None = None
    unlabeled: Path | None = None
    cells: Path | None = None
    license: str = "not stated"
    seed: int = 0
    pairs: Path | None = None
    scale: Range | None = None


@dataclass(frozen=True)
class _Plan:
    """The network and the recipe that trains it, and in words what it learns from.

    `examine` gives what of the metadata is measured when the network is trained.
    """

    network: QualiCLIP | BPCLIP
    recipe: Recipe
    trained_on: str
    examine: Callable[[], dict[str, Any]] = dict


def run_job(job: TrainingJob, *, quiet: bool = False) -> Path:
    """Train the compact architecture of a model and write its weights.

    Raises:
        TrainingError, DataError, WeightsError: what is wrong, in one sentence.
    """
    torch.manual_seed(job.seed)
    plan = {"qualiclip": _qualiclip, "bpclip": _bpclip, "bpclip-fr": _bpclip_fr}[job.model](job, quiet)
    averaged = train(plan.recipe, job.budget, job.run, quiet=quiet)
    plan.network.load_state_dict(averaged.state_dict())
    metadata = Metadata(
        model=job.model,
        name=f"{job.model}-compact",
        architecture=plan.network.config.as_metadata(),
        preprocessing=PREPROCESSING,
        temperature=plan.network.temperature,
        prompts=list(PROMPTS) if job.model == "qualiclip" else [],
        text_encoder=False,
        license=job.license,
        source=f"iqa train {job.model}, seed {job.seed}, {job.budget.minutes:g} min on {job.budget.device}",
        training_data=plan.trained_on,
        validated_sides=VALIDATED_SIDES,
        created=datetime.date.today().isoformat(),
    )
    plan.network.cpu().eval()
    metadata = metadata.model_copy(update=plan.examine())
    save(job.out, stored(plan.network.state_dict()), metadata)
    return job.out


def _good(job: TrainingJob) -> tuple[list[Path], str]:
    """The good photographs, and in words what they are."""
    if job.pristine is None:
        raise TrainingError(f"Training {job.model} needs a folder of good photographs.")
    found = list_photos(job.pristine)
    return found, _in_words(found, job.pristine)


def _qualiclip(job: TrainingJob, quiet: bool) -> _Plan:
    pristine, trained_on = _good(job)
    others = [] if job.unlabeled is None else list_photos(job.unlabeled)
    if job.unlabeled is not None:
        trained_on += f" and, without any score, {_in_words(others, job.unlabeled)}"
    network = QualiCLIP(COMPACT, qualiclip.QUALICLIP_TEMPERATURE)
    assert isinstance(network.visual, LiteTower)
    _begin(network, network.visual.lite, job, pristine, others, quiet)
    look = _Looking(job, network.visual.lite, quiet)
    good = look.variants(pristine, good=True)
    if not others:
        return _Plan(network, QualiCLIPHeadRecipe(network, good), trained_on)
    photographs = look.photographs(others)
    opinion = opinions(photographs, ranked(others, quiet=quiet), good.cells)
    rated = RatedBatches(photographs, opinion.tolist(), seed=job.seed)
    further = look.variants(others, good=False)
    return _Plan(network, QualiCLIPHeadRecipe(network, good, further, rated=rated), trained_on)


def _bpclip(job: TrainingJob, quiet: bool) -> _Plan:
    if job.scored is None:
        raise TrainingError("Training bpclip needs a folder of photographs with scores.")
    pristine, known = ([], "") if job.pristine is None else _good(job)
    scored = list_scored(job.scored)
    paths = [photo.path for photo in scored]
    network = BPCLIP(compact(full_reference=False), bpclip.BPCLIP_TEMPERATURE)
    _begin(network, network.backbone.lite, job, pristine, paths, quiet)
    examine = partial(dict) if pristine else held_out_photographs(network, PREPROCESSING, job.scored, quiet)
    look = _Looking(job, network.backbone.lite, quiet)
    # In the order of their names, so that qualiclip finds what was seen of the same photographs.
    scored.sort(key=lambda photo: photo.path)
    paths.sort()
    whole = look.photographs(paths)
    people = np.array([photo.mos for photo in scored])
    worth = _smoothed(whole, people)
    rated = RatedBatches(whole, worth.tolist(), batch=_SCORED_AT_ONCE, seed=job.seed)
    good = [look.variants(pristine, good=True)] if pristine else []
    recipe = BPCLIPHeadRecipe(network, rated, *good, look.variants(paths, good=False))
    trained_on = f"with people's scores, {_in_words(paths, job.scored)}"
    return _Plan(network, recipe, f"{known} and, {trained_on}" if known else trained_on, examine)


def _smoothed(photographs: CellArray, people: NDArray[np.float64]) -> NDArray[np.float64]:
    """People's scores, and half of a second opinion where what that needs is installed."""
    try:
        from models.training.targets.regressions import second_opinion
    except ModuleNotFoundError:  # scikit-learn comes with the extra `train`
        return people
    opinion = second_opinion(pooled(photographs)[:, 0], people)
    return (1 - _OPINION_SHARE) * people + _OPINION_SHARE * opinion


@dataclass(frozen=True)
class _Looking:
    """What the frozen encoder sees of photographs, from the cache of the job."""

    job: TrainingJob
    encoder: EfficientNetLite
    quiet: bool

    def photographs(self, paths: Sequence[Path]) -> CellArray:
        return self._look_at(WholePhotographs(tuple(paths), WHOLE), CellEncoder(self.encoder))

    def variants(self, paths: Sequence[Path], *, good: bool) -> VariantBatches:
        if not good and len(paths) > OTHERS:
            paths = random.Random(0).sample(paths, OTHERS)
        pictures = PhotographVariants(tuple(paths), good=good, **(OF_GOOD if good else OF_OTHERS))
        return VariantBatches(
            self._look_at(pictures, CellEncoder(self.encoder)),
            pictures.plans,
            of_every_kind if good else any_two,
            good=good,
            batch=_GOOD_AT_ONCE[self.job.model] if good else _OTHERS_AT_ONCE,
            seed=self.job.seed,
        )

    def pairs(self, paths: Sequence[Path]) -> PairBatches:
        """Variants of good photographs beside the untouched ones, and what the teachers say of them."""
        from models.training.targets.teachers import (  # only here its packages are needed
            Teachers,
            common_scale,
        )

        pictures = PhotographVariants(tuple(paths), good=True, **OF_PAIRS)
        measured = torch.from_numpy(np.array(self._look_at(pictures, Teachers())))
        targets = common_scale().targets(measured.flatten(0, 1)).unflatten(0, measured.shape[:2])
        cells = self._look_at(pictures, PairEncoder(self.encoder))
        return PairBatches(cells, pictures.plans, targets, seed=self.job.seed)

    def _look_at(self, pictures: WholePhotographs | PhotographVariants, look: Look) -> NDArray[Any]:
        workers = self.job.budget.workers
        return look_at(pictures, look, _cells(self.job), workers=workers, quiet=self.quiet)


def judged(pristine: Path, kept: Path, workers: int = 2) -> NDArray[np.float32]:
    """What the teachers say of the pairs that bpclip-fr learns from; see :class:`..teachers.Teachers`."""
    from models.training.targets.teachers import Teachers

    pictures = PhotographVariants(tuple(list_photos(pristine)), good=True, **OF_PAIRS)
    return look_at(pictures, Teachers(), kept, workers=workers)


def _cells(job: TrainingJob) -> Path:
    return job.cells or job.run / "cells"


def _begin(
    network: QualiCLIP | BPCLIP,
    encoder: EfficientNetLite,
    job: TrainingJob,
    pristine: Sequence[Path],
    others: Sequence[Path],
    quiet: bool,
) -> None:
    """Give a network its start: that of other weights, or of ImageNet's, standardized on the photographs."""
    encoder.eval()  # frozen from here on
    if job.init is not None:
        _take_over(read(job.init, job.model), network)
        return
    measured = [pristine, others] if others else [pristine]
    begun = standardized_on(imagenet_encoder(), *measured, kept=_cells(job), quiet=quiet)
    encoder.load_state_dict(begun.state_dict())


def _take_over(weights: Weights, network: QualiCLIP | BPCLIP) -> None:
    encoder = weights.metadata.architecture.get("encoder", RESNET)
    if encoder != network.config.encoder:
        raise TrainingError(
            f"The weights to begin from see images through {encoder}, this architecture through "
            f"{network.config.encoder}."
        )
    transfer(weights.tensors, network)


def _bpclip_fr(job: TrainingJob, quiet: bool) -> _Plan:
    from models.training.heads.bpclip_fr import FullReferenceRecipe

    if job.pairs is not None:
        return _scored_pairs(job, job.pairs, quiet)
    pristine, photographs = _good(job)
    others = [] if job.unlabeled is None else list_photos(job.unlabeled)
    network = BPCLIP(compact(full_reference=True), bpclip.BPCLIP_TEMPERATURE)
    _begin(network, network.backbone.lite, job, pristine, others, quiet)
    pairs = _Looking(job, network.backbone.lite, quiet).pairs(pristine)
    trained_on = f"{photographs}, labeled by VSI, HaarPSI, MDSI and ColorVideoVDP"
    return _Plan(network, FullReferenceRecipe(network, pairs), trained_on)


def _scored_pairs(job: TrainingJob, table: Path, quiet: bool) -> _Plan:
    from models.training.heads.bpclip_fr import FullReferenceRecipe

    pairs = list_pairs(table, job.scale)
    if not pairs:
        raise TrainingError(f"The table {table} has no pairs to learn from.")
    network = BPCLIP(compact(full_reference=True), bpclip.BPCLIP_TEMPERATURE)
    paths = [pair.distorted for pair in pairs]
    references = list(dict.fromkeys(pair.reference for pair in pairs))
    _begin(network, network.backbone.lite, job, references, paths, quiet)
    examine = held_out_pairs(network, PREPROCESSING, table, job.scale, references, quiet)
    encoder = PairEncoder(network.backbone.lite)
    pictures = PairPictures.of(pairs, WHOLE)
    cells = look_at(pictures, encoder, _cells(job), workers=job.budget.workers, quiet=quiet)
    batches = ScoredPairBatches(cells, [pair.worth for pair in pairs], seed=job.seed)
    trained_on = f"with people's scores, {len(pairs)} pairs of {table.name} (digest {digest(paths)[:12]})"
    return _Plan(network, FullReferenceRecipe(network, batches), trained_on, examine)


def _in_words(paths: Sequence[Path], folder: Path) -> str:
    return f"{len(paths)} photographs of {folder.name} (digest {digest(paths)[:12]})"
