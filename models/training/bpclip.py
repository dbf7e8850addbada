"""BPCLIP's no-reference recipe: people's scores, and photographs that are spoilt on purpose.

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
from torch import Tensor, nn

from models.bpclip import BPCLIP, LEVELS
from models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from models.training.labels import NAMES
from models.training.losses import (
    adjectives_loss,
    fault_type_loss,
    plcc_loss,
    ranking_loss,
    word_ranking_loss,
)
from models.training.photos import ScoredPhoto
from models.training.samples import Group, Groups, Scored, ScoredCrops, to_float

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
        groups: int = 24,
        seed: int = 0,
    ) -> None:
        self.model = module
        self.fault_type = nn.Linear(LEVELS * module.config.text_width, len(NAMES) + 1)
        self.module = nn.ModuleDict({"model": module, "fault_type": self.fault_type})
        self.datasets = (
            ScoredCrops(scored, crop, seed=seed),
            Groups(pristine, crop, views=1, seed=seed + 2),
        )
        self.batch_sizes = (batch, groups)

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        scored: Scored = parts[0]
        group: Group = parts[1]
        images = torch.cat([scored.image, group.images.flatten(0, 2)])
        embeddings = self.model.embed(normalised(images))
        output = self.model.read_out(embeddings)
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
            "fault_type": 0.3
            * fault_type_loss(self.fault_type(embeddings[count:].flatten(1)), group.fault.flatten()),
            "rank_words": 0.5 * word_ranking_loss(similarities, group.pair_severity, _WORD_MARGIN),
        }


def normalised(images: Tensor) -> Tensor:
    """``(B, 3, H, W)`` uint8 as the float32 input of BPCLIP, channels last."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(3, 1, 1)
    return ((to_float(images) - mean) / std).contiguous(memory_format=torch.channels_last)
