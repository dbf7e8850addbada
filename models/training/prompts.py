"""The last touch of QualiCLIP's recipe: the prompts are settled on whole photographs.

What is learned from crops is a little off for whole photographs, as it is of words (see
:mod:`models.training.words`). Of the compact model the prompts' features are learned instead of taken from a
text encoder, so the score can be set right by moving them alone: the levels of every ordered distortion
should come out in order, the first opinion of pictures as people take them should be followed, by the score
and by each pair of prompts that asks for quality itself, and the pairs that name a fault should go on saying
what they said. What lies before them needs to be computed only once. All of this is our decision; no person's
score has a part in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from models.preprocessing import Preprocessing
from models.qualiclip import PROMPT_PAIRS, QualiCLIP
from models.training.descent import descend
from models.training.looking import pixels, see, some, tracked
from models.training.losses import plcc_loss, ranking_loss
from models.training.photos import PhotoReader
from models.training.qualiclip import GENERAL
from models.training.robustness import ORDERED, levels_of, seed_of, spoilt
from models.training.samples import Snapshots

PHOTOGRAPHS: Final = 150
"""That are looked at, each untouched and with every ordered distortion at two levels."""
SNAPSHOTS: Final = 1000
"""Pictures with a first opinion."""

_SIDE: Final = 512  # px, of a snapshot
_OF_THE_SCALE: Final = 400  # snapshots that say how good others are
_MARGIN: Final = 0.06  # of what is ranked, per level; close to that of the recipe
_ORDER: Final = 120.0  # what order weighs beside the opinion
_EACH: Final = 30.0  # what every general pair weighs that follows the opinion
_NAMED: Final = 5.0  # what holds the pairs that name a fault to what they said
_KEPT: Final = 0.2  # what holds the features where they were
_STEPS: Final = 800
_RATE: Final = 5e-3


@dataclass(frozen=True)
class Series:
    """Photographs under one distortion each, at levels that grow.

    Attributes:
        embeddings: ``(N, L, d)`` float32, unit rows.
        severity: ``(N, L)`` int64, 0 for untouched.
    """

    embeddings: Tensor
    severity: Tensor


@dataclass(frozen=True)
class RatedLooks:
    """Pictures and what they are worth by the first opinion.

    Attributes:
        embeddings: ``(N, d)`` float32, unit rows.
        worth: ``(N,)`` float32 in [0, 1].
    """

    embeddings: Tensor
    worth: Tensor


def settle_prompts(
    model: QualiCLIP,
    preprocessing: Preprocessing,
    pristine: Sequence[Path],
    *,
    photographs: int = PHOTOGRAPHS,
    snapshots: int = SNAPSHOTS,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Teach the prompts once more, on whole photographs.

    Args:
        model: without a text encoder; on the CPU, in evaluation mode. Its prompts' features are changed.
        preprocessing: of its input.
        pristine: good photographs.
        photographs: how many of them at most, chosen at random.
        snapshots: how many.
        seed: of what is random.
        quiet: whether to show no progress.
    """
    series = look_at_levels(model, preprocessing, pristine, photographs=photographs, seed=seed, quiet=quiet)
    rated = look_at_snapshots(model, preprocessing, pristine, snapshots, seed=seed + 1, quiet=quiet)
    fit_prompts(model.prompts_features, series, rated, model.temperature)


@torch.no_grad()
def look_at_levels(
    model: QualiCLIP,
    preprocessing: Preprocessing,
    pristine: Sequence[Path],
    *,
    photographs: int = PHOTOGRAPHS,
    seed: int = 0,
    quiet: bool = False,
) -> Series:
    """What a model sees of photographs untouched and at two levels of every ordered distortion.

    Arguments as of :func:`settle_prompts`.
    """
    generator = torch.Generator().manual_seed(seed)
    reader = PhotoReader(cache_bytes=0, longest_side=preprocessing.longest_side or 1024)
    embeddings, severity = [], []
    for path in tracked(some(pristine, photographs, generator), "levels of whole photographs", quiet):
        photo = pixels(reader.read(path))
        untouched = see(model, preprocessing, photo)
        for name in ORDERED:
            places = sorted(torch.randperm(len(levels_of(name)), generator=generator)[:2].tolist())
            levels = [levels_of(name)[place] for place in places]
            _, *worse = spoilt(photo, name, seed_of(path.stem, name), levels)
            embeddings.append(torch.cat([untouched, *(see(model, preprocessing, each) for each in worse)]))
            severity.append([0, *levels])
    return Series(torch.stack(embeddings), torch.tensor(severity))


@torch.no_grad()
def look_at_snapshots(
    model: QualiCLIP,
    preprocessing: Preprocessing,
    pristine: Sequence[Path],
    count: int = SNAPSHOTS,
    *,
    seed: int = 0,
    quiet: bool = False,
) -> RatedLooks:
    """What a model sees of pictures as people take them, and the first opinion of each.

    Arguments as of :func:`settle_prompts`.
    """
    snapshots = Snapshots(pristine, _SIDE, scale_of=min(count, _OF_THE_SCALE), seed=seed)
    embeddings, worth = [], []
    for index in tracked(range(count), "snapshots", quiet):
        picture = snapshots[index]
        embeddings.append(see(model, preprocessing, pixels(picture.image)))
        worth.append(picture.worth)
    return RatedLooks(torch.cat(embeddings), torch.stack(worth))


def fit_prompts(features: Tensor, series: Series, rated: RatedLooks, temperature: float) -> None:
    """Move the prompts' features so that levels come out in order and the first opinion is followed.

    Args:
        features: ``(14, d)``, the good prompt of each pair first; changed in place, unit rows afterwards.
        series: pictures to bring in order.
        rated: pictures with an opinion.
        temperature: what cosines are multiplied by.
    """
    before = F.normalize(features.detach().clone(), dim=-1)
    moving = before.clone().requires_grad_()

    def leaning(embeddings: Tensor, prompts: Tensor) -> Tensor:
        """By how much the good prompt of each pair is nearer, ``(..., 7)``."""
        pairs: Tensor = (embeddings @ prompts.T).unflatten(-1, (-1, 2))
        return pairs[..., 0] - pairs[..., 1]

    seen = torch.cat([series.embeddings.flatten(0, 1), rated.embeddings])
    named = [pair for pair in range(len(PROMPT_PAIRS)) if pair not in GENERAL]
    said = leaning(seen, before)[:, named]
    wanted = rated.worth[:, None].expand(-1, len(GENERAL))

    def loss() -> Tensor:
        now = F.normalize(moving, dim=-1)
        leanings = leaning(seen, now)
        levels, pictures = leanings.split([series.severity.numel(), len(rated.worth)])
        pairs = (temperature * pictures).sigmoid()
        score = pairs.mean(dim=-1)
        return (
            _ORDER * ranking_loss(levels.mean(dim=-1).view(series.severity.shape), series.severity, _MARGIN)
            + 10 * F.mse_loss(score, rated.worth)
            + 2 * plcc_loss(score, rated.worth)
            + _EACH * F.mse_loss(pairs[:, GENERAL], wanted)
            + _NAMED * F.mse_loss(leanings[:, named], said)
            + _KEPT * (now - before).square().sum(dim=-1).mean()
        )

    descend([moving], loss, _STEPS, _RATE)
    with torch.no_grad():
        features.copy_(F.normalize(moving, dim=-1))
