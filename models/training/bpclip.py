"""BPCLIP's recipes: no-reference on people's scores, full-reference on the verdicts of classical measures.

Source: arXiv 2506.17969, which trains with MSE on MOS in [0, 1], flips and crops, from an ImageNet backbone.
The compact model begins from nothing and on little data, so [O]: the backbone learns along with its batch
norm, a correlation loss stands beside MSE, and photographs that are spoilt on purpose are learned in the same
batches; they teach the adjectives, and that every distortion lowers the score.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import default_collate

from models.bpclip import BPCLIP
from models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from models.training.losses import adjectives_loss, plcc_loss, ranking_loss, word_ranking_loss
from models.training.photos import ScoredPhoto
from models.training.samples import Group, Groups, Pair, Pairs, Scored, ScoredCrops, to_float
from models.training.teachers import Scale, measure

TEMPERATURE = 10.0
"""Of the compact model [O]; see :data:`models.training.qualiclip.TEMPERATURE`."""

_RANKING_MARGIN = 0.05  # of the score, per level [O]
_WORD_MARGIN = 0.03  # in cosine, per level [O]


class NoReferenceRecipe:
    """See :class:`models.training.loop.Recipe`."""

    name = "bpclip"
    learning_rate = 2e-3

    def __init__(
        self,
        module: BPCLIP,
        scored: Sequence[ScoredPhoto],
        pristine: Sequence[Path],
        *,
        crop: int = 192,
        batch: int = 24,
        groups: int = 16,
        seed: int = 0,
    ) -> None:
        self.module: nn.Module = module
        self.model = module
        self.datasets = (
            ScoredCrops(scored, crop, seed=seed),
            Groups(pristine, crop, views=1, seed=seed + 2),
        )
        self.batch_sizes = (batch, groups)

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        scored: Scored = parts[0]
        group: Group = parts[1]
        images = torch.cat([scored.image, group.images.flatten(0, 2)])
        output = self.model(normalised(images))
        people, count = output.score[: len(scored.mos)], len(scored.mos)
        quality = output.score[count:].unflatten(0, (len(group.severity), -1))
        similarities = output.similarities[count:].unflatten(0, (len(group.severity), -1))
        return {
            "mse": 5 * F.mse_loss(people, scored.mos),
            "plcc": plcc_loss(people, scored.mos),
            "rank": 4 * ranking_loss(quality, group.severity, _RANKING_MARGIN),
            "words": adjectives_loss(
                similarities.flatten(0, 1), group.labels.flatten(0, 1), self.model.temperature
            ),
            "rank_words": 0.5 * word_ranking_loss(similarities, group.pair_severity, _WORD_MARGIN),
        }


class FullReferenceRecipe:
    """See :class:`models.training.loop.Recipe`."""

    name = "bpclip-fr"
    learning_rate = 1e-3  # it goes on from what bpclip learned

    def __init__(
        self,
        module: BPCLIP,
        references: Sequence[Path],
        *,
        crop: int = 192,
        batch: int = 16,
        scale_pairs: int = 512,
        seed: int = 0,
        quiet: bool = False,
    ) -> None:
        self.module: nn.Module = module
        self.model = module
        self.datasets = (Pairs(references, crop, seed=seed),)
        self.batch_sizes = (batch,)
        # A seed of its own: the scale is not fitted on the pairs that are learned first.
        self.scale = fit_scale(Pairs(references, crop, seed=seed + 1), scale_pairs, quiet=quiet)

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        pair: Pair = parts[0]
        with torch.autocast(pair.distorted.device.type, enabled=False):
            target = self.scale.targets(measure(to_float(pair.distorted), to_float(pair.reference)))
        output = self.model(normalised(pair.distorted), normalised(pair.reference))
        return {
            "mse": 5 * F.mse_loss(output.score, target),
            "plcc": plcc_loss(output.score, target),
            "words": 0.2 * adjectives_loss(output.similarities, pair.labels, self.model.temperature),
        }


def fit_scale(pairs: Pairs, count: int, *, quiet: bool = False) -> Scale:
    """The common scale of the teachers on the first ``count`` pairs of a data set."""
    values = []
    chunk = 16
    for start in track(range(0, count, chunk), "teachers' scale", disable=quiet):
        sample: Pair = default_collate([pairs[i] for i in range(start, min(start + chunk, count))])
        values.append(measure(to_float(sample.distorted), to_float(sample.reference)))
    identical = measure(to_float(sample.reference), to_float(sample.reference)).median(dim=0).values
    return Scale.fit(torch.cat(values), identical)


def normalised(images: Tensor) -> Tensor:
    """``(B, 3, H, W)`` uint8 as the float32 input of BPCLIP, channels last."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(3, 1, 1)
    return ((to_float(images) - mean) / std).contiguous(memory_format=torch.channels_last)
