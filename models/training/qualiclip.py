"""QualiCLIP's recipe: quality-aware without human scores, from photographs that are spoilt on purpose.

Source: arXiv 2403.11176. Two overlapping crops of one photograph at growing levels of one distortion: the
crops should score alike (consistency), similarity to the good prompt should fall and to the bad prompt rise
(two ranking terms), all with margins and equal weights. Margins are the published ones.

Ours, marked [O] where it happens: levels are drawn with gaps and untouched photographs are among them; the
final score is ranked too, also across photographs; prompts that name a fault, and the adjectives, are taught
by the faults that make them true; the compact model learns its text features, at a lower temperature.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adjectives import PAIRS
from models.preprocessing import CLIP_MEAN, CLIP_STD
from models.qualiclip import PROMPT_PAIRS, QualiCLIP
from models.training.labels import NAMES
from models.training.losses import (
    adjectives_loss,
    consistency_loss,
    fault_type_loss,
    ranking_loss,
    word_ranking_loss,
)
from models.training.samples import Group, Groups, to_float

CONSISTENCY_MARGIN = 2.5e-3
RANKING_MARGIN = 6.75e-2
TEMPERATURE = 10.0
"""Of the compact model [O]. With five levels a margin apart, the two cosines of a pair come to differ by some
0.7; times 10, the score then moves over most of [0, 1] instead of jumping from one end to the other."""

_WORD_MARGIN = 0.03  # in cosine, per level [O]
_ACROSS = 3  # levels from which two different photographs are ranked against each other [O]
_GENERAL = [
    i
    for i, (good, _) in enumerate(PROMPT_PAIRS)
    if good in {"Good photo.", "High-quality image.", "Good picture."}
]
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
    """See :class:`models.training.loop.Recipe`."""

    name = "qualiclip"
    learning_rate = 2e-3

    def __init__(
        self, module: QualiCLIP, photos: Sequence[Path], *, crop: int = 160, groups: int = 24, seed: int = 0
    ) -> None:
        self.model = module
        self.fault_type = nn.Linear(module.config.embed_dim, len(NAMES) + 1)
        self.module = nn.ModuleDict({"model": module, "fault_type": self.fault_type})
        self.datasets = (Groups(photos, crop, views=2, seed=seed),)
        self.batch_sizes = (groups,)

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        group: Group = parts[0]
        batch, views, levels = group.images.shape[:3]
        images = to_float(group.images.flatten(0, 2))
        mean = torch.tensor(CLIP_MEAN, device=images.device).view(3, 1, 1)
        std = torch.tensor(CLIP_STD, device=images.device).view(3, 1, 1)
        features = self.model.visual(((images - mean) / std).contiguous(memory_format=torch.channels_last))
        embeddings = F.normalize(features.float(), dim=-1)
        output = self.model.compare(embeddings)

        shape = (batch, views, levels)
        cosines = self.model.prompt_similarities(embeddings).unflatten(0, shape)
        pairs = cosines.unflatten(-1, (len(PROMPT_PAIRS), 2))
        good, bad = pairs[..., _GENERAL, 0].mean(-1), pairs[..., _GENERAL, 1].mean(-1)
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
            "rank_score": ranking_loss(quality, severity, RANKING_MARGIN),
            "rank_across": ranking_across_loss(quality.mean(1), group.severity, RANKING_MARGIN),
            "words": adjectives_loss(
                similarities.flatten(0, 2), labels.flatten(0, 2), self.model.temperature
            ),
            "fault_type": 0.3
            * fault_type_loss(
                self.fault_type(features), group.fault[:, None].expand(-1, views, -1).flatten()
            ),
            "rank_words": word_ranking_loss(similarities.flatten(0, 1), pair_severity, _WORD_MARGIN),
            "prompts": 0.3
            * adjectives_loss(
                named.flatten(0, 2), labels[..., _NAMED_WORDS].flatten(0, 2), self.model.temperature
            ),
        }


def ranking_across_loss(values: Tensor, severity: Tensor, margin: float) -> Tensor:
    """Rank different photographs against each other where their levels lie far apart [O].

    Within a photograph levels are ranked by their order alone; this gives all photographs one scale.

    Args:
        values: ``(B, L)`` float. severity: ``(B, L)`` int, -1 for unranked. margin: for such a pair.
    """
    values, severity = values.flatten(), severity.flatten()
    worse = severity[None, :] - severity[:, None] >= _ACROSS
    wanted = worse & (severity >= 0)[None, :] & (severity >= 0)[:, None]
    shortfall = (_ACROSS * margin + values[None, :] - values[:, None]).relu()
    return shortfall[wanted].sum() / wanted.sum().clamp(min=1)
