"""BPCLIP's full-reference recipe: pairs that are spoilt on purpose, judged by classical measures.

Source: arXiv 2506.17969, which trains on people's scores of pairs; none are at hand, so the targets are
those of :mod:`models.training.teachers` [O]. The model begins from a no-reference one, whose batch norm it
keeps as it is, as the paper keeps that of its ImageNet backbone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.bpclip import BPCLIP
from models.training.bpclip import normalised
from models.training.losses import adjectives_loss, plcc_loss
from models.training.samples import Pair, Pairs, to_float
from models.training.teachers import targets


class FullReferenceRecipe:
    """See :class:`models.training.loop.Recipe`."""

    name = "bpclip-fr"
    learning_rate = 6e-4  # it goes on from what bpclip learned

    def __init__(
        self,
        module: BPCLIP,
        references: Sequence[Path],
        *,
        crop: int = 224,
        batch: int = 12,
        seed: int = 0,
    ) -> None:
        self.model = module
        self.module = nn.ModuleDict({"model": module})
        self.datasets = (Pairs(references, crop, seed=seed),)
        self.batch_sizes = (batch,)

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        pair: Pair = parts[0]
        with torch.autocast(pair.distorted.device.type, enabled=False):
            target = targets(to_float(pair.distorted), to_float(pair.reference))
        output = self.model(normalised(pair.distorted), normalised(pair.reference))
        return {
            "mse": 20 * F.mse_loss(output.score, target),
            "plcc": plcc_loss(output.score, target),
            "words": 0.2 * adjectives_loss(output.similarities, pair.labels, self.model.temperature),
        }
