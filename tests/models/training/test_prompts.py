"""The prompts settled on whole photographs: order and opinion get better, and nothing else changes."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from models.qualiclip import PROMPTS, QualiCLIP, QualiCLIPConfig
from models.training.photos import list_photos
from models.training.prompts import (
    RatedLooks,
    Series,
    fit_prompts,
    look_at_levels,
    look_at_snapshots,
    settle_prompts,
)
from models.training.qualiclip import GENERAL
from models.training.robustness import ORDERED

TINY = QualiCLIPConfig(embed_dim=16, layers=(1, 1, 1, 1), width=8, head_width=64, text_layers=0)
PREPROCESSING = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=96)


def rows(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def leanings(features: Tensor, embeddings: Tensor) -> Tensor:
    pairs: Tensor = (embeddings @ F.normalize(features, dim=-1).T).unflatten(-1, (-1, 2))
    return pairs[..., 0] - pairs[..., 1]


def quality(features: Tensor, embeddings: Tensor) -> Tensor:
    return leanings(features, embeddings).mean(dim=-1)


def in_order(features: Tensor, series: Series) -> float:
    return float((quality(features, series.embeddings).diff(dim=-1) < 0).float().mean())


def test_levels_come_into_order_and_the_opinion_is_followed() -> None:
    fault, opinion = rows(2, 32, seed=1)
    start = rows(300, 1, 32, seed=2)
    series = Series(
        F.normalize(start - 0.4 * torch.tensor([0, 1, 3])[:, None] * fault, dim=-1),
        torch.tensor([0, 1, 3]).expand(300, 3),
    )
    pictures = rows(400, 32, seed=3)
    rated = RatedLooks(pictures, (8 * pictures @ opinion).sigmoid())
    features = rows(len(PROMPTS), 32, seed=4)
    assert in_order(features, series) < 0.7
    before = features.clone()
    fit_prompts(features, series, rated, 10.0)
    assert in_order(features, series) > 0.95
    followed = torch.corrcoef(torch.stack([quality(features, pictures), rated.worth]))[0, 1]
    assert followed > 0.7
    # Every pair that asks for quality follows, and those that name a fault say nearly what they said.
    after = leanings(features, pictures)
    for pair in GENERAL:
        assert torch.corrcoef(torch.stack([after[:, pair], rated.worth]))[0, 1] > 0.7
    moved = (after - leanings(before, pictures)).square().mean(dim=0).sqrt()
    named = [pair for pair in range(len(moved)) if pair not in GENERAL]
    assert moved[named].mean() < 0.75 * moved[GENERAL].mean()
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(len(PROMPTS)))


def test_photographs_are_seen_untouched_and_at_two_levels_of_every_ordered_distortion(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.prompts._SIDE", 96)
    torch.manual_seed(0)
    model = QualiCLIP(TINY, 10.0).eval()
    pristine = list_photos(photo_folder)
    series = look_at_levels(model, PREPROCESSING, pristine, photographs=2, seed=1, quiet=True)
    assert series.embeddings.shape == (2 * len(ORDERED), 3, 16)
    torch.testing.assert_close(series.embeddings.norm(dim=-1), torch.ones(2 * len(ORDERED), 3))
    assert (series.severity[:, 0] == 0).all()
    assert (series.severity.diff(dim=-1) > 0).all()
    assert series.severity.max() <= 5
    first, second = series.embeddings[: len(ORDERED), 0], series.embeddings[len(ORDERED) :, 0]
    assert torch.equal(first, first[:1].expand_as(first))
    assert not torch.equal(first[0], second[0])
    rated = look_at_snapshots(model, PREPROCESSING, pristine, 3, seed=1, quiet=True)
    assert rated.embeddings.shape == (3, 16)
    assert ((rated.worth >= 0) & (rated.worth <= 1)).all()


def test_only_the_prompts_move(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.prompts._SIDE", 96)
    torch.manual_seed(0)
    model = QualiCLIP(TINY, 10.0).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settle_prompts(
        model, PREPROCESSING, list_photos(photo_folder), photographs=1, snapshots=2, seed=3, quiet=True
    )
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"prompts_features"}
