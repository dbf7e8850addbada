"""The losses of the recipes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.training.batches import VariantCells
from models.training.labels import BAD, GOOD
from models.vocabulary import PAIRS


def ranking_loss(values: Tensor, severity: Tensor, margin: float) -> Tensor:
    """Margin ranking: what is worse should have the lower value, by a margin for every level between.

    The hinge of QualiCLIP's ranking terms (arXiv 2403.11176); a margin that grows with the distance of the
    levels is our decision, since we draw levels with gaps.

    Args:
        values: ``(..., L)`` float.
        severity: ``(..., L)`` int, broadcastable to ``values``; -1 leaves a value out.
        margin: per level.

    Returns:
        Mean over all pairs that can be ranked; zero where there are none.
    """
    severity = severity.expand(values.shape)
    steps = severity[..., None, :] - severity[..., :, None]  # how much worse the second is than the first
    known = (severity >= 0)[..., None, :] & (severity >= 0)[..., :, None]
    wanted = (steps > 0) & known
    shortfall = margin * steps + values[..., None, :] - values[..., :, None]
    return shortfall.relu()[wanted].sum() / wanted.sum().clamp(min=1)


def order_loss(values: Tensor, variants: VariantCells, margin: float) -> Tensor:
    """Mean shortfall of pairs in order: the better should have the higher value, by a margin per level.

    Args:
        values: ``(N,)`` float, of each variant of the batch.
        variants: the batch.
        margin: per level.
    """
    ahead = values[variants.better] - values[variants.worse]
    return (margin * variants.gap - ahead).relu().mean()


def equality_loss(values: Tensor, equal: Tensor, margin: float = 0.0) -> Tensor:
    """Mean distance beyond a margin of pairs that look the same (consistency in QualiCLIP, arXiv 2403.11176).

    Args:
        values: ``(N,)`` float.
        equal: ``(E, 2)`` int64, places in ``values``.
        margin: that is free.
    """
    first, second = values[equal].unbind(dim=1)
    return ((first - second).abs() - margin).relu().mean()


def adjectives_loss(similarities: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of the right word of each pair; all pairs weigh alike, and so do their two words.

    Without that, faults that make only one word true would be drowned by those that make many.

    Args:
        similarities: ``(N, 2 P)`` cosines of ``P`` antonym pairs, the good word first.
        labels: ``(N, P)`` of :func:`models.training.labels.pair_labels`.
        temperature: what the cosines are multiplied by.

    Returns:
        Mean over the words that are true of any sample; zero where none is.
    """
    words = similarities.unflatten(-1, (-1, 2))
    logits = temperature * (words[..., 0] - words[..., 1])
    losses = F.binary_cross_entropy_with_logits(logits, (labels == GOOD).float(), reduction="none")
    true = torch.stack([labels == GOOD, labels == BAD])  # (2, N, P)
    counts = true.sum(dim=1)
    of_words = torch.where(true, losses, 0).sum(dim=1) / counts.clamp(min=1)
    return of_words.sum() / (counts > 0).sum().clamp(min=1)


def word_ranking_loss(similarities: Tensor, pair_severity: Tensor, margin: float) -> Tensor:
    """Of the pairs that a distortion concerns, the good word fades and the bad word grows with its level.

    Args:
        similarities: ``(B, L, 40)`` cosines.
        pair_severity: ``(B, 20, L)`` of :func:`models.training.labels.pair_severities`.
        margin: per level, in cosine.
    """
    words = similarities.unflatten(-1, (len(PAIRS), 2)).permute(0, 2, 3, 1)  # (B, 20, 2, L)
    good, bad = words[:, :, 0], words[:, :, 1]
    return ranking_loss(good, pair_severity, margin) + ranking_loss(-bad, pair_severity, margin)


def plcc_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """One minus the linear correlation over a batch, halved: in [0, 1]."""
    predicted, target = predicted - predicted.mean(), target - target.mean()
    return (1 - F.cosine_similarity(predicted, target, dim=0)) / 2
