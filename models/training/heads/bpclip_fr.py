"""BPCLIP's full-reference recipe: distorted copies beside their originals, judged by full-reference measures.

Source: arXiv 2506.17969, which trains on people's scores of pairs; none are at hand, so the targets are
those of :mod:`models.training.targets.teachers` [O]. As in the no-reference recipe the encoder is frozen,
what it sees is kept, and the mask stays open [O]: features and differences of all five levels are those of an
ImageNet network, which knows more kinds of distortion than are shown here.
"""

from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor, nn

from models.bpclip.model import BPCLIP
from models.training.batches import PairBatches, PairCells
from models.training.heads.bpclip import embed_cells, freeze
from models.training.losses import adjectives_loss, plcc_loss

TOKENS: Final = 64
"""Cells of a pair that a step looks at; see :data:`models.training.heads.bpclip.BPCLIP_TOKENS`."""
_LEAST_LOGIT: Final = 0.01  # targets nearer to 0 or 1 are as good as that


class FullReferenceRecipe:
    """See :class:`models.training.optimize.Recipe`.

    Args:
        module: full-reference, with an EfficientNet-Lite for an encoder; encoder and masks are frozen, the
            masks opened.
        pairs: with what the teachers say of them.
        tokens: cells of a pair that a step looks at; None for all.
    """

    name = "bpclip-fr"
    learning_rate = 1.5e-3
    batch_sizes = (None,)

    def __init__(self, module: BPCLIP, pairs: PairBatches, *, tokens: int | None = TOKENS) -> None:
        self.model = module
        freeze(module)
        self.module = nn.ModuleDict({"model": module})
        self.datasets = (pairs,)
        self._tokens = tokens

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        pairs: PairCells = parts[0]
        output = self.model.read_out(embed_cells(self.model, pairs.cells, self._tokens))
        return {
            "mse": 30 * F.mse_loss(output.score, pairs.target),
            # On the logits too, where what hardly differs is told apart.
            "logit": 0.2
            * F.smooth_l1_loss(output.score.logit(eps=_LEAST_LOGIT), pairs.target.logit(eps=_LEAST_LOGIT)),
            "plcc": 5 * plcc_loss(output.score, pairs.target),
            "words": 0.5 * adjectives_loss(output.similarities, pairs.labels, self.model.temperature),
        }
