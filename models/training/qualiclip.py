"""QualiCLIP's recipe: quality-aware without human scores, from photographs that are spoilt on purpose.

Source: arXiv 2403.11176. Two overlapping crops of one photograph at growing levels of one distortion: the
crops should score alike (consistency), similarity to the good prompt should fall and to the bad prompt rise
(two ranking terms), all with margins and equal weights. Margins are the published ones.

Ours, marked [O] where it happens: levels are drawn with gaps and untouched photographs are among them; the
final score is ranked too, and on pictures as people take them follows a first opinion that no person gave;
prompts that name a fault, and the adjectives, are taught by the faults that make them true; the compact model
learns its text features, at a lower temperature.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from models.adjectives import PAIRS
from models.preprocessing import CLIP_MEAN, CLIP_STD
from models.qualiclip import PROMPT_PAIRS, QualiCLIP
from models.training.labels import NAMES
from models.training.losses import (
    adjectives_loss,
    consistency_loss,
    fault_type_loss,
    freeze_norms,
    plcc_loss,
    ranking_loss,
    word_ranking_loss,
)
from models.training.samples import Group, Groups, Rated, to_float

CONSISTENCY_MARGIN = 2.5e-3
RANKING_MARGIN = 6.75e-2
TEMPERATURE = 10.0
"""Of the compact model [O]. With five levels a margin apart, the two cosines of a pair come to differ by some
0.7; times 10, the score then moves over most of [0, 1] instead of jumping from one end to the other."""

_WORD_MARGIN = 0.03  # in cosine, per level [O]
GENERAL = [
    i
    for i, (good, _) in enumerate(PROMPT_PAIRS)
    if good in {"Good photo.", "High-quality image.", "Good picture."}
]
"""Places of the prompt pairs that ask for quality itself; the others name a fault."""
# Prompts that name a fault, and the pair of adjectives whose faults teach them [O].
_NAMED = {
    "Sharp image.": "clear",
    "Sharp edges.": "sharp",
    "High-resolution image.": "sharp",
    "Noise-free image.": "clean",
}
_NAMED_PROMPTS = [i for i, (good, _) in enumerate(PROMPT_PAIRS) if good in _NAMED]
_NAMED_WORDS = [
    next(i for i, pair in enumerate(PAIRS) if pair.positive == _NAMED[PROMPT_PAIRS[prompt][0]])
    for prompt in _NAMED_PROMPTS
]


class QualiCLIPRecipe:
    """See :class:`models.training.loop.Recipe`.

    ``rated`` are pictures with a first opinion that no person gave. Without them only faults are learned,
    which is how a model begins that starts from nothing; its batch norm learns then, and stays as it is with
    them, since they come in larger crops with other statistics. ``real`` are photographs that are no good to
    begin with, for faults on top of their own.
    """

    name = "qualiclip"

    def __init__(
        self,
        module: QualiCLIP,
        pristine: Sequence[Path],
        rated: Dataset[Rated] | None = None,
        real: Sequence[Path] = (),
        *,
        crop: int = 160,
        groups: int = 14,
        batch: int = 6,
        seed: int = 0,
    ) -> None:
        self.model = module
        self.fault_type = nn.Linear(module.config.embed_dim, len(NAMES) + 1)
        self.module = nn.ModuleDict({"model": module, "fault_type": self.fault_type})
        faults = Groups(pristine, crop, views=2, real=real, seed=seed)
        self.datasets: tuple[Dataset[Any], ...] = (faults,)
        self.batch_sizes: tuple[int, ...] = (groups,)
        if rated is not None:
            self.datasets = (faults, rated)
            self.batch_sizes = (groups, batch)
        self.learning_rate = 2e-3 if rated is None else 1e-3

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        if len(parts) == 1:
            return self._of_faults(parts[0])
        freeze_norms(self.model)
        return self._of_rated(parts[1]) | self._of_faults(parts[0])

    def _of_rated(self, rated: Rated) -> dict[str, Tensor]:
        """A score follows the first opinion [O]: one scale for all, used from end to end."""
        score = self.model.compare(F.normalize(self._features(rated.image).float(), dim=-1)).score
        return {"opinion": 10 * F.mse_loss(score, rated.worth), "plcc": 2 * plcc_loss(score, rated.worth)}

    def _of_faults(self, group: Group) -> dict[str, Tensor]:
        batch, views, levels = group.images.shape[:3]
        features = self._features(group.images.flatten(0, 2))
        embeddings = F.normalize(features.float(), dim=-1)
        output = self.model.compare(embeddings)

        shape = (batch, views, levels)
        cosines = self.model.prompt_similarities(embeddings).unflatten(0, shape)
        pairs = cosines.unflatten(-1, (len(PROMPT_PAIRS), 2))
        good, bad = pairs[..., GENERAL, 0].mean(-1), pairs[..., GENERAL, 1].mean(-1)
        quality = (pairs[..., 0] - pairs[..., 1]).mean(-1)
        severity = group.severity[:, None]
        similarities = output.similarities.unflatten(0, shape)
        pair_severity = group.pair_severity.repeat_interleave(views, 0)
        labels = group.labels[:, None].expand(-1, views, -1, -1)
        named = pairs[..., _NAMED_PROMPTS, :].flatten(-2)
        return {
            "consistency": consistency_loss(good[:, 0], good[:, 1], CONSISTENCY_MARGIN)
            + consistency_loss(bad[:, 0], bad[:, 1], CONSISTENCY_MARGIN),
            "rank_good": ranking_loss(good, severity, RANKING_MARGIN),
            "rank_bad": ranking_loss(-bad, severity, RANKING_MARGIN),
            "rank_score": 4 * ranking_loss(quality, severity, RANKING_MARGIN),
            "words": 0.5
            * adjectives_loss(similarities.flatten(0, 2), labels.flatten(0, 2), self.model.temperature),
            "fault_type": 0.15
            * fault_type_loss(
                self.fault_type(features), group.fault[:, None].expand(-1, views, -1).flatten()
            ),
            "rank_words": 0.5 * word_ranking_loss(similarities.flatten(0, 1), pair_severity, _WORD_MARGIN),
            "prompts": 0.15
            * adjectives_loss(
                named.flatten(0, 2), labels[..., _NAMED_WORDS].flatten(0, 2), self.model.temperature
            ),
        }

    def _features(self, images: Tensor) -> Tensor:
        """``(N, embed_dim)`` of ``(N, 3, S, S)`` uint8."""
        mean = torch.tensor(CLIP_MEAN, device=images.device).view(3, 1, 1)
        std = torch.tensor(CLIP_STD, device=images.device).view(3, 1, 1)
        normalised = (to_float(images) - mean) / std
        features: Tensor = self.model.visual(normalised.contiguous(memory_format=torch.channels_last))
        return features
