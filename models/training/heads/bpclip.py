"""BPCLIP's no-reference recipe: people's scores of photographs, and variants of photographs.

Source: arXiv 2506.17969, which trains with MSE on MOS in [0, 1], flips and crops, from an ImageNet backbone.
Ours, marked [O] in the paper's terms: the encoder is frozen and what it sees is kept
(:mod:`models.training.cells`), so only the heads learn; a correlation loss stands beside MSE; variants teach
that every distortion lowers the score, what looks the same scores the same, and which adjectives are true.
The mask of the gated pooling stays open: it would need the maps that are not kept.
"""

from typing import Any, Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.bpclip.bottom_up import BottomUpLevel
from models.bpclip.gated_pooling import GatedLocalPooling
from models.bpclip.model import BPCLIP
from models.ragged import Extents
from models.training.batches import RatedBatches, RatedCells, VariantBatches, VariantCells, some_cells
from models.training.losses import adjectives_loss, equality_loss, order_loss, plcc_loss, word_ranking_loss

BPCLIP_TEMPERATURE: Final = 10.0
"""Of the compact model [O]; see :data:`models.training.heads.qualiclip.QUALICLIP_TEMPERATURE`."""
BPCLIP_TOKENS: Final = 48
"""Cells of a photograph that a step looks at, chosen at random: a third of all give nearly the same
gradient in a third of the time."""
DROPPED: Final = 0.15
"""Share of a photograph's features that a step is not shown where people's scores are learned: there are
fewer photographs than features."""

_ORDER_MARGIN: Final = 0.25  # of the score's logit, per level
_WORD_MARGIN: Final = 0.03  # in cosine, per level


class BPCLIPHeadRecipe:
    """See :class:`models.training.optimize.Recipe`.

    Args:
        module: with an EfficientNet-Lite for an encoder; encoder and masks are frozen, the masks opened.
        rated: photographs with people's scores.
        variants: of good photographs, and of others.
        tokens: cells of a photograph that a step looks at; None for all.
    """

    name = "bpclip"
    learning_rate = 1.5e-3

    def __init__(
        self,
        module: BPCLIP,
        rated: RatedBatches,
        *variants: VariantBatches,
        tokens: int | None = BPCLIP_TOKENS,
    ) -> None:
        self.model = module
        freeze(module)
        self.module = nn.ModuleDict({"model": module})
        self.datasets = (rated, *variants)
        self.batch_sizes = (None,) * len(self.datasets)
        self._tokens = tokens

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        rated: RatedCells = parts[0]
        score = self.model.read_out(embed_cells(self.model, rated.cells, self._tokens, DROPPED)).score
        terms = {"mse": 30 * F.mse_loss(score, rated.worth), "plcc": 5 * plcc_loss(score, rated.worth)}
        for place, variants in enumerate(parts[1:]):
            terms |= {f"{name}_{place}": term for name, term in self._of_variants(variants).items()}
        return terms

    def _of_variants(self, variants: VariantCells) -> dict[str, Tensor]:
        output = self.model.read_out(embed_cells(self.model, variants.cells, self._tokens))
        # On the logits, so that what is bad already can still be ranked.
        quality = output.score.logit(eps=1e-4)
        similarities = output.similarities
        chains = word_ranking_loss(similarities[variants.chains], variants.severity, _WORD_MARGIN)
        return {
            "order": 2 * order_loss(quality, variants, _ORDER_MARGIN),
            "equal": 2 * equality_loss(quality, variants.equal),
            "words": adjectives_loss(similarities, variants.labels, self.model.temperature),
            "rank_words": 0.5 * chains,
        }


def freeze(model: BPCLIP) -> None:
    """Let only learn what can be learned from cells: no encoder, and masks that are the same everywhere."""
    model.backbone.requires_grad_(False)
    for pooling in _pooling(model):
        pooling.open_mask()
        pooling.phi.requires_grad_(False)
        # Two linear maps in a row learn no more than the second of them.
        if not model.full_reference:
            pooling.pass_features_on()


def embed_cells(model: BPCLIP, cells: Tensor, tokens: int | None = None, dropped: float = 0.0) -> Tensor:
    """``x_1..x_4``, ``(B, 4, d)`` float32, of cell means, under masks that are the same everywhere.

    Args:
        model: with an EfficientNet-Lite.
        cells: ``(B, h, w, 1024)`` floating; for a full-reference model ``(B, h, w, 1536)`` of
            :func:`models.bpclip.gated_pooling.compared_means`.
        tokens: how many cells are looked at, chosen at random; None for all.
        dropped: share of each picture's features that is left out, chosen at random.
    """
    size = (cells.shape[1], cells.shape[2])
    seen, places = some_cells(cells, tokens)
    if dropped:
        seen = seen * F.dropout(torch.ones_like(seen[:, :1]), dropped)
    position = model.position(Extents((size,), size))[0].flatten(1).T[places]  # (count, D)
    kinds = 3 if model.full_reference else 2
    levels = seen.transpose(1, 2)[..., None].split([kinds * each for each in model.backbone.channels], 1)
    pooled = [
        pooling.from_means(means)[..., 0].transpose(1, 2) + position
        for pooling, means in zip(_pooling(model), levels, strict=True)
    ]
    gated = [
        level.gate(pooled[place], pooled[place + 1], None)
        for place, level in enumerate(cast(list[BottomUpLevel], model.levels))
    ]
    return model.sum_up(gated)


def _pooling(model: BPCLIP) -> list[GatedLocalPooling]:
    return cast(list[GatedLocalPooling], model.pooling)
