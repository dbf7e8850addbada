"""BPCLIP's full-reference recipe: pairs that are spoilt on purpose, judged by classical measures.

Source: arXiv 2506.17969, which trains on people's scores of pairs; none are at hand, so the targets are
those of :mod:`models.training.teachers` [O]. The model begins from a no-reference one, whose batch norm it
keeps as it is, as the paper keeps that of its ImageNet backbone; of an EfficientNet-Lite it keeps all [O],
since other models share it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import RESNET
from models.bpclip import BPCLIP
from models.training.encoder import normalised
from models.training.losses import adjectives_loss, plcc_loss
from models.training.samples import Pair, Pairs, to_float
from models.training.teachers import targets

WHOLE = 448  # px; what a photograph of the usual size has of whole tiles and windows


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
        if module.config.encoder != RESNET:
            module.backbone.requires_grad_(False)
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


@torch.no_grad()
def calibrate(model: BPCLIP, references: Sequence[Path], *, pairs: int = 400, seed: int = 0) -> float:
    """Shift the score's logit so that it agrees with the teachers on whole photographs too.

    A photograph has more tokens than the crops that were learned from, and comes out a little lower.

    Args:
        model: in evaluation mode; the last bias is changed.
        references: of which pairs are made, cut to :data:`WHOLE` px.
        pairs: how many.
        seed: of the pairs.

    Returns:
        The shift, in logits.
    """
    spoilt = Pairs(references, WHOLE, seed=seed + 9)
    shifts = []
    for pair in (spoilt[index] for index in range(pairs)):
        distorted, reference = pair.distorted[None], pair.reference[None]
        target = targets(to_float(distorted), to_float(reference))
        if target < 1:
            found = model(normalised(distorted), normalised(reference)).score
            shifts.append(target.logit(eps=1e-2) - found.logit(eps=1e-2))
    shift = torch.stack(shifts).median()
    last = model.regressor[-1]
    assert isinstance(last, nn.Linear)
    last.bias.add_(shift)
    return float(shift)
