"""BPCLIP's no-reference recipe: people's scores, and photographs that are spoilt on purpose.

Source: arXiv 2506.17969, which trains with MSE on MOS in [0, 1], flips and crops, from an ImageNet backbone.
The compact model begins from nothing and on little data, so [O]: it first learns faults alone, the backbone
with its batch norm; then people's scores from crops nearly as large as the photographs, with a correlation
loss beside MSE. Photographs that are spoilt on purpose go on beside them: they teach the adjectives, and that
every distortion lowers the score.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

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
from models.training.measures import MeasuresHead
from models.training.photos import ScoredPhoto
from models.training.samples import Group, Groups, Rated, RatedCrops, to_float

TEMPERATURE = 10.0
"""Of the compact model [O]; see :data:`models.training.qualiclip.TEMPERATURE`."""

_RANKING_MARGIN = 0.25  # of the score's logit, per level [O]
_WORD_MARGIN = 0.03  # in cosine, per level [O]


class NoReferenceRecipe:
    """See :class:`models.training.loop.Recipe`.

    Without ``scored`` it only learns faults, which is how a model begins that starts from nothing; its batch
    norm learns then. With them it stays as it is: people's scores are learned from large crops, whose
    statistics are not those of small ones.
    """

    name = "bpclip"
    learning_rate = 5e-4

    def __init__(
        self,
        module: BPCLIP,
        scored: Sequence[ScoredPhoto],
        pristine: Sequence[Path],
        *,
        crop: int = 320,
        batch: int = 12,
        fault_crop: int = 192,
        groups: int = 8,
        seed: int = 0,
    ) -> None:
        self.model = module
        self.fault_type = nn.Linear(LEVELS * module.config.text_width, len(NAMES) + 1)
        self.measures = MeasuresHead(LEVELS * module.config.text_width)
        self.module = nn.ModuleDict(
            {"model": module, "fault_type": self.fault_type, "measures": self.measures}
        )
        real = [photo.path for photo in scored]
        faults = Groups(pristine, fault_crop, views=1, real=real, seed=seed + 2)
        self.datasets: tuple[Dataset[Any], ...] = (faults,)
        self.batch_sizes: tuple[int, ...] = (groups,)
        if scored:
            self.datasets = (faults, RatedCrops(scored, crop, seed=seed))
            self.batch_sizes = (groups, batch)
        module.backbone.freeze_batch_norm(bool(scored))

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        terms = self._of_faults(parts[0])
        if len(parts) > 1:
            terms = self._of_people(parts[1]) | terms
        return terms

    def _of_people(self, scored: Rated) -> dict[str, Tensor]:
        embeddings = self.model.embed(normalised(scored.image))
        return {
            **terms_of_people(self.model.read_out(embeddings).score, scored.worth),
            "measures": self.measures.loss(embeddings.flatten(1), scored.image),
        }

    def _of_faults(self, group: Group) -> dict[str, Tensor]:
        embeddings = self.model.embed(normalised(group.images.flatten(0, 2)))
        types = self.fault_type(embeddings.flatten(1))
        return {
            **terms_of_faults(self.model, embeddings, group),
            "measures_of_faults": self.measures.loss(embeddings.flatten(1), group.images.flatten(0, 2)),
            "fault_type": 0.15 * fault_type_loss(types, group.fault.flatten()),
        }


def terms_of_people(score: Tensor, mos: Tensor) -> dict[str, Tensor]:
    """How far scores ``(B,)`` are from people's, and how little they go along with them."""
    return {"mse": 30 * F.mse_loss(score, mos), "plcc": 5 * plcc_loss(score, mos)}


def terms_of_faults(model: BPCLIP, embeddings: Tensor, group: Group) -> dict[str, Tensor]:
    """Order of scores and truth of words; ``embeddings``, ``(B * L, 4, d)``, are the crops'."""
    output = model.read_out(embeddings)
    # On the logits, so that what is bad already can still be ranked.
    quality = output.score.logit(eps=1e-4).unflatten(0, (len(group.severity), -1))
    similarities = output.similarities.unflatten(0, (len(group.severity), -1))
    words = adjectives_loss(similarities.flatten(0, 1), group.labels.flatten(0, 1), model.temperature)
    return {
        "rank": ranking_loss(quality, group.severity, _RANKING_MARGIN),
        "words": 0.5 * words,
        "rank_words": 0.5 * word_ranking_loss(similarities, group.pair_severity, _WORD_MARGIN),
    }


def normalised(images: Tensor) -> Tensor:
    """``(B, 3, H, W)`` uint8 as the float32 input of BPCLIP, channels last."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(3, 1, 1)
    return ((to_float(images) - mean) / std).contiguous(memory_format=torch.channels_last)
