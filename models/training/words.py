"""The last touch of both no-reference recipes: the words are settled on whole photographs.

What is learned from crops is a little off for whole photographs, and words suffer more than scores: of the
bundled BPCLIP one pair told its faults from others at an area under the ROC curve of 0.65 before this and
0.81 after, of QualiCLIP 0.77 and 0.88, on photographs kept apart. Only the features of the 40 adjectives
move, which the compact models learn instead of taking them from a text encoder. What lies before them is left
alone, so it needs to be computed only once, and what remains is a logistic regression for each pair.
QualiCLIP's score asks its prompts and not the adjectives; BPCLIP's is a small network on the adjectives'
cosines (eq. 9 of arXiv 2506.17969), which is taught to say of the new cosines what it said of the old ones.
All of this is our decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from models.bpclip import BPCLIP
from models.preprocessing import Pixels, Preprocessing
from models.qualiclip import QualiCLIP
from models.training.descent import descend
from models.training.labels import BAD, GOOD, NAMES, UNKNOWN, pair_labels
from models.training.looking import pixels, see, some, tracked
from models.training.photos import PhotoReader
from models.training.robustness import seed_of, spoilt

PHOTOGRAPHS: Final = 200
"""Of each kind that are looked at, each good one 35 times."""

_LEAST_LEVEL: Final = 3  # from which a fault is there for certain
_UNTOUCHED: Final = 2.0
"""What untouched photographs weigh beside spoilt ones of which the good word is true, and those of which the
bad one is. A word is to be silent about what is good: where every picture weighed alike, the average pair
called one in twenty untouched photographs bad at a probability of 0.6 and more; with this it is 0.34."""
_KEPT: Final = 0.03  # what holds the features where they were, against the loss of the words
_STEPS: Final = 800
_RATE: Final = 1e-2
_SCORE_STEPS: Final = 2000
_SCORE_RATE: Final = 1e-3
_SCORE_BATCH: Final = 512


@dataclass(frozen=True)
class Looks:
    """What a model saw of ``N`` pictures.

    Attributes:
        embeddings: ``(N, L, d)`` float32, unit rows: one of QualiCLIP, the four levels of BPCLIP.
        labels: ``(N, 20)`` int64 of :func:`models.training.labels.pair_labels`.
    """

    embeddings: Tensor
    labels: Tensor


def settle_words(
    model: QualiCLIP | BPCLIP,
    preprocessing: Preprocessing,
    pristine: Sequence[Path],
    others: Sequence[Path] = (),
    *,
    photographs: int = PHOTOGRAPHS,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Teach the words once more, on whole photographs, untouched and with a fault of each type.

    Args:
        model: without a text encoder; on the CPU, in evaluation mode. Its text features are changed, and
            BPCLIP's regressor.
        preprocessing: of its input.
        pristine: good photographs.
        others: photographs of which no word is known; BPCLIP's score is to stay on them too.
        photographs: how many of each at most, chosen at random.
        seed: of what is random.
        quiet: whether to show no progress.
    """
    see = partial(look, model, preprocessing, pristine, photographs=photographs, seed=seed, quiet=quiet)
    if isinstance(model, QualiCLIP):  # its score does not depend on the words
        fit_words(model.adjectives_features, see(), model.temperature)
        return
    looks = see(others)
    scores = _logits(model, looks)
    fit_words(model.text_features, looks, model.temperature)
    keep_score(model, looks, scores, seed=seed)


@torch.no_grad()
def look(
    model: QualiCLIP | BPCLIP,
    preprocessing: Preprocessing,
    pristine: Sequence[Path],
    others: Sequence[Path] = (),
    *,
    photographs: int = PHOTOGRAPHS,
    seed: int = 0,
    quiet: bool = False,
) -> Looks:
    """What a model sees of photographs, each spoilt once by every type, at a level that is clearly there.

    Arguments as of :func:`settle_words`.
    """
    generator = torch.Generator().manual_seed(seed)
    reader = PhotoReader(cache_bytes=0, longest_side=preprocessing.longest_side or 1024)
    untouched = pair_labels([])
    unknown = torch.full_like(untouched, UNKNOWN)
    embeddings, labels = [], []

    def note(picture: Pixels, known: Tensor) -> None:
        embeddings.append(see(model, preprocessing, picture))
        labels.append(known)

    good, further = (some(paths, photographs, generator) for paths in (pristine, others))
    for path in tracked(good, "words on whole photographs", quiet):
        photo = pixels(reader.read(path))
        note(photo, untouched)
        for name in NAMES:
            level = int(torch.randint(_LEAST_LEVEL, 6, (), generator=generator))
            _, picture = spoilt(photo, name, seed_of(path.stem, name), [level])
            note(picture, pair_labels([(name, level)]))
    for path in tracked(further, "scores on whole photographs", quiet):
        note(pixels(reader.read(path)), unknown)
    return Looks(torch.stack(embeddings), torch.stack(labels))


def fit_words(features: Tensor, looks: Looks, temperature: float) -> None:
    """Move the adjectives' features so that the right word of each pair wins.

    Args:
        features: ``(40, d)``, changed in place; unit rows afterwards.
        looks: at pictures with known words.
        temperature: what cosines are multiplied by.
    """
    before = F.normalize(features.detach().clone(), dim=-1)
    moving = before.clone().requires_grad_()
    # The mean over the levels of the cosines is the cosine, times a constant, with the mean of the rows.
    seen = looks.embeddings.mean(dim=1)

    good, bad = looks.labels == GOOD, looks.labels == BAD
    untouched = good.all(dim=1, keepdim=True)  # no fault leaves the good word of every pair true
    groups = torch.stack([bad, good & ~untouched, good & untouched])
    weights = torch.tensor([1.0, 1.0, _UNTOUCHED])[:, None] * groups.any(dim=1)

    def loss() -> Tensor:
        now = F.normalize(moving, dim=-1)
        words = (seen @ now.T).unflatten(-1, (-1, 2))
        losses = F.binary_cross_entropy_with_logits(
            temperature * (words[..., 0] - words[..., 1]), good.float(), reduction="none"
        )
        means = torch.where(groups, losses, 0).sum(dim=1) / groups.sum(dim=1).clamp(min=1)
        moved = (now - before).square().sum(dim=-1).mean()
        return (weights * means).sum() / weights.sum().clamp(min=1) + _KEPT * moved

    descend([moving], loss, _STEPS, _RATE)
    with torch.no_grad():
        features.copy_(F.normalize(moving, dim=-1))


def keep_score(model: BPCLIP, looks: Looks, scores: Tensor, *, seed: int = 0) -> None:
    """Teach the regressor the scores of before the words moved.

    Args:
        model: whose regressor is changed.
        looks: at pictures.
        scores: ``(N,)``, the logits of their scores before.
        seed: of the order in which they are learned from.
    """
    with torch.no_grad():
        cosines = _cosines(model, looks)
    generator = torch.Generator().manual_seed(seed)

    def loss() -> Tensor:
        some = torch.randint(len(cosines), (_SCORE_BATCH,), generator=generator)
        return F.mse_loss(model.regressor(cosines[some]).squeeze(-1), scores[some])

    parameters = list(model.regressor.requires_grad_().parameters())
    descend(parameters, loss, _SCORE_STEPS, _SCORE_RATE)


def _cosines(model: BPCLIP, looks: Looks) -> Tensor:
    """``(N, 160)``, as the regressor takes them."""
    return (looks.embeddings @ F.normalize(model.text_features, dim=-1).T).flatten(1)


@torch.no_grad()
def _logits(model: BPCLIP, looks: Looks) -> Tensor:
    found: Tensor = model.regressor(_cosines(model, looks)).squeeze(-1)
    return found
