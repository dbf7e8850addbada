"""QualiCLIP's recipe: quality-aware without human scores, from variants of photographs.

Source: arXiv 2403.11176: at growing levels of one distortion the similarity to the good prompt should fall
and to the bad prompt rise (two ranking terms), and pictures of equal quality should score alike
(consistency), all with margins. Margins are the published ones.

Ours, marked [O] where it happens: the encoder is frozen and what it sees is kept
(:mod:`models.training.cells`); not only chains of levels are ranked but all variants that are known to be in
order; the final score is ranked too, and on photographs as people take them follows an opinion that no person
gave (:mod:`models.training.targets.opinion`); prompts that name a fault, and the adjectives, are taught by
the faults that make them true; the compact model learns its text features, at a lower temperature.
"""

from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor, nn

from models.qualiclip.model import PROMPT_PAIRS, LiteTower, QualiCLIP
from models.training.batches import RatedBatches, RatedCells, VariantBatches, VariantCells, some_cells
from models.training.losses import adjectives_loss, equality_loss, order_loss, plcc_loss, word_ranking_loss
from models.vocabulary import PAIRS

QUALICLIP_TOKENS: Final = 64
"""Cells of a photograph that a step looks at; see :data:`models.training.heads.bpclip.BPCLIP_TOKENS`."""
QUALICLIP_TEMPERATURE: Final = 10.0
"""Of the compact model [O]. With five levels a margin apart, the two cosines of a pair come to differ by some
0.7; times 10, the score then moves over most of [0, 1] instead of jumping between its ends."""

_CONSISTENCY_MARGIN: Final = 2.5e-3
_RANKING_MARGIN: Final = 6.75e-2
_SCORE_MARGIN: Final = 0.6 * _RANKING_MARGIN  # of the mean difference of all pairs' cosines, per level [O]
_LOGIT_MARGIN: Final = 0.25  # of the score's logit, per level [O]
_WORD_MARGIN: Final = 0.03  # in cosine, per level [O]
_GENERAL: Final = [
    place
    for place, (good, _) in enumerate(PROMPT_PAIRS)
    if good in {"Good photo.", "High-quality image.", "Good picture."}
]
"""Places of the prompt pairs that ask for quality itself; the others name a fault."""
# Prompts that name a fault, and the pair of adjectives whose faults teach them [O].
_NAMED: Final = {
    "Sharp image.": "clear",
    "Sharp edges.": "sharp",
    "High-resolution image.": "sharp",
    "Noise-free image.": "clean",
}
_NAMED_PROMPTS: Final = [place for place, (good, _) in enumerate(PROMPT_PAIRS) if good in _NAMED]
_NAMED_WORDS: Final = [
    next(place for place, pair in enumerate(PAIRS) if pair.positive == _NAMED[PROMPT_PAIRS[prompt][0]])
    for prompt in _NAMED_PROMPTS
]


class QualiCLIPHeadRecipe:
    """See :class:`models.training.optimize.Recipe`.

    Args:
        module: with an EfficientNet-Lite for an encoder, which is frozen.
        variants: of good photographs, and of others.
        rated: photographs as people take them with an opinion that no person gave; without them only the
            order of variants is learned.
        tokens: cells of a photograph that a step looks at; None for all.
    """

    name = "qualiclip"
    learning_rate = 1e-3

    def __init__(
        self,
        module: QualiCLIP,
        *variants: VariantBatches,
        rated: RatedBatches | None = None,
        tokens: int | None = QUALICLIP_TOKENS,
    ) -> None:
        assert isinstance(module.visual, LiteTower)
        self.model = module
        self._tower = module.visual
        self._tokens = tokens
        self._tower.lite.requires_grad_(False)
        self.module = nn.ModuleDict({"model": module})
        self.datasets = (*variants, *([] if rated is None else [rated]))
        self.batch_sizes = (None,) * len(self.datasets)

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for place, part in enumerate(parts):
            found = self._of_rated(part) if isinstance(part, RatedCells) else self._of_variants(part)
            terms |= {f"{name}_{place}": term for name, term in found.items()}
        return terms

    def _of_rated(self, rated: RatedCells) -> dict[str, Tensor]:
        """The score follows the opinion [O]: one scale for all, used from end to end."""
        score = self.model.read_out(self._embed(rated.cells)).score
        return {"opinion": 10 * F.mse_loss(score, rated.worth), "plcc": 2 * plcc_loss(score, rated.worth)}

    def _of_variants(self, variants: VariantCells) -> dict[str, Tensor]:
        embeddings = self._embed(variants.cells)
        output = self.model.read_out(embeddings)
        similarities = output.similarities
        pairs = self.model.prompt_similarities(embeddings).unflatten(-1, (len(PROMPT_PAIRS), 2))
        good, bad = pairs[:, _GENERAL, 0].mean(-1), pairs[:, _GENERAL, 1].mean(-1)
        difference = (pairs[..., 0] - pairs[..., 1]).mean(-1)
        named = pairs[:, _NAMED_PROMPTS].flatten(-2)
        temperature = self.model.temperature
        return {
            "order_good": order_loss(good, variants, _RANKING_MARGIN),
            "order_bad": order_loss(-bad, variants, _RANKING_MARGIN),
            "order_difference": 5 * order_loss(difference, variants, _SCORE_MARGIN),
            "order_score": order_loss(output.score.logit(eps=1e-4), variants, _LOGIT_MARGIN),
            "consistency": equality_loss(good, variants.equal, _CONSISTENCY_MARGIN)
            + equality_loss(bad, variants.equal, _CONSISTENCY_MARGIN)
            + 2 * equality_loss(output.score, variants.equal),
            "words": 0.5 * adjectives_loss(similarities, variants.labels, temperature),
            "prompts": 0.15 * adjectives_loss(named, variants.labels[:, _NAMED_WORDS], temperature),
            "rank_words": 0.5
            * word_ranking_loss(similarities[variants.chains], variants.severity, _WORD_MARGIN),
        }

    def _embed(self, cells: Tensor) -> Tensor:
        """Unit embeddings of ``(B, h, w, 1024)``."""
        # The pooling knows no places, so any cells make a picture.
        seen, _ = some_cells(cells, self._tokens)
        return self.model.pool(self._tower.tokens(seen.transpose(1, 2)[..., None]))
