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
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import default_collate

from models.bpclip import BPCLIP
from models.training.bpclip import normalised
from models.training.losses import adjectives_loss, plcc_loss
from models.training.samples import Pair, Pairs, to_float
from models.training.teachers import Scale, measure


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
        self.model = module
        self.module = nn.ModuleDict({"model": module})
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
    for start in track(
        range(0, count, chunk), "teachers' scale", console=Console(stderr=True), disable=quiet
    ):
        sample: Pair = default_collate([pairs[i] for i in range(start, min(start + chunk, count))])
        values.append(measure(to_float(sample.distorted), to_float(sample.reference)))
    identical = measure(to_float(sample.reference), to_float(sample.reference)).median(dim=0).values
    return Scale.fit(torch.cat(values), identical)
