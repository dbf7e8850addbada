"""Whole trainings, from folders of photographs to a weights file: what ``iqa train`` calls."""

import datetime
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from models.bpclip import BPCLIP, compact
from models.preprocessing import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from models.qualiclip import COMPACT, PROMPTS, QualiCLIP
from models.state import stored, transfer
from models.training import bpclip, qualiclip
from models.training.bpclip import NoReferenceRecipe
from models.training.loop import Budget, Recipe, TrainingError, train
from models.training.photos import digest, list_photos, list_scored
from models.training.qualiclip import QualiCLIPRecipe
from models.weights import Metadata, ModelName, read, save

LONGEST_SIDE = 768
"""Pixels; what the bundled weights bring larger photographs down to. They learned from photographs of some
512 px, and fine faults of a much larger one are neither what they know nor what is seen on a screen."""
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
        init: weights to begin from; bpclip-fr begins from those of bpclip.
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
    license: str = "not stated"
    seed: int = 0


def run_job(job: Job, *, quiet: bool = False) -> Path:
    """Train the compact architecture of a model and write its weights.

    Raises:
        TrainingError, DataError, WeightsError: what is wrong, in one sentence.
    """
    torch.manual_seed(job.seed)
    recipe, architecture, trained_on = _recipe(job, quiet)
    averaged = train(recipe, job.budget, job.run, quiet=quiet)
    is_qualiclip = job.model == "qualiclip"
    metadata = Metadata(
        model=job.model,
        name=f"{job.model}-compact",
        architecture=architecture,
        preprocessing=Preprocessing(
            mean=CLIP_MEAN if is_qualiclip else IMAGENET_MEAN,
            std=CLIP_STD if is_qualiclip else IMAGENET_STD,
            longest_side=LONGEST_SIDE,
        ),
        temperature=qualiclip.TEMPERATURE if is_qualiclip else bpclip.TEMPERATURE,
        prompts=list(PROMPTS) if is_qualiclip else [],
        text_encoder=False,
        license=job.license,
        source=f"iqa train {job.model}, seed {job.seed}, {job.budget.minutes:g} min on {job.budget.device}",
        training_data=trained_on,
        validated_sides=VALIDATED_SIDES,
        created=datetime.date.today().isoformat(),
    )
    tensors = stored(averaged.state_dict())
    save(job.out, tensors, metadata)
    return job.out


def _recipe(job: Job, quiet: bool) -> tuple[Recipe, dict[str, Any], str]:
    """The recipe, the architecture for the metadata, and the training data in words."""
    pristine = list_photos(job.pristine)
    trained_on = f"{len(pristine)} photographs of {job.pristine.name} (digest {digest(pristine)[:12]})"
    if job.model == "qualiclip":
        model = QualiCLIP(COMPACT, qualiclip.TEMPERATURE)
        if job.init is not None:
            transfer(read(job.init, "qualiclip").tensors, model)
        return QualiCLIPRecipe(model, pristine, seed=job.seed), model.config.as_metadata(), trained_on

    if job.scored is not None:
        scored = list_scored(job.scored)
        paths = [photo.path for photo in scored]
        with_scores = " with people's scores" if job.model == "bpclip" else ""
        trained_on += f" and {len(scored)} of {job.scored.name}{with_scores} (digest {digest(paths)[:12]})"
    if job.model == "bpclip":
        if job.scored is None:
            raise TrainingError("Training bpclip needs a folder of photographs with scores.")
        # Where no ImageNet weights are begun from, the batch norm has to learn; afterwards it is frozen.
        config = replace(compact(full_reference=False), frozen_batch_norm=False)
        network = BPCLIP(config, bpclip.TEMPERATURE)
        if job.init is not None:
            transfer(read(job.init, "bpclip").tensors, network)
        return (
            NoReferenceRecipe(network, scored, pristine, seed=job.seed),
            replace(config, frozen_batch_norm=True).as_metadata(),
            trained_on,
        )

    if job.init is None:
        raise TrainingError(
            "Training bpclip-fr begins from weights of bpclip: a batch norm that is frozen must have learned."
        )
    from models.training.bpclip_fr import FullReferenceRecipe  # only this one needs piq

    network = BPCLIP(compact(full_reference=True), bpclip.TEMPERATURE)
    transfer(read(job.init, "bpclip").tensors, network)
    references = pristine + (paths if job.scored is not None else [])
    return (
        FullReferenceRecipe(network, references, seed=job.seed, quiet=quiet),
        network.config.as_metadata(),
        trained_on + ", labelled by VSI, HaarPSI, MDSI and GMSD",
    )
