"""The losses of both recipes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adjectives import PAIRS
from models.training.labels import BAD, GOOD, NO_TYPE


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


def consistency_loss(first: Tensor, second: Tensor, margin: float) -> Tensor:
    """Two crops of one picture should score alike, within a margin (QualiCLIP, arXiv 2403.11176)."""
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


def fault_type_loss(logits: Tensor, fault: Tensor) -> Tensor:
    """Cross-entropy of the type of distortion: a task beside the others, for features of all types [O].

    Args:
        logits: ``(N, len(NAMES) + 1)``.
        fault: ``(N,)`` int64 of :func:`models.training.labels.fault_types`.

    Returns:
        Mean over the samples whose type can be told; zero where there are none.
    """
    total = F.cross_entropy(logits.float(), fault, ignore_index=NO_TYPE, reduction="sum")
    return total / (fault != NO_TYPE).sum().clamp(min=1)


def plcc_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """One minus the linear correlation over a batch, halved: in [0, 1]."""
    predicted, target = predicted - predicted.mean(), target - target.mean()
    return (1 - F.cosine_similarity(predicted, target, dim=0)) / 2


def freeze_norms(module: nn.Module) -> None:
    """Every batch norm gives what it has learned and learns no more; to be called again after ``train()``.

    Batches of unlike size and content then do not disturb one another's statistics.
    """
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval().requires_grad_(False)
