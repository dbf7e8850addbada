"""The words settled on whole photographs: they get better, and nothing else changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.adjectives import PAIRS
from models.bpclip import BPCLIP
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from models.qualiclip import QualiCLIP, QualiCLIPConfig
from models.training.labels import BAD, GOOD, NAMES, UNKNOWN
from models.training.photos import list_photos, list_scored
from models.training.words import Looks, fit_words, keep_score, look, settle_words
from tests.models.test_bpclip import TINY

TINY_QUALICLIP = QualiCLIPConfig(embed_dim=16, layers=(1, 1, 1, 1), width=8, head_width=64, text_layers=0)
PREPROCESSING = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=96)


def rows(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def looks_with_words(count: int, levels: int, width: int) -> Looks:
    """Every pair has a direction of its own that tells its words apart; a third of them is not known."""
    embeddings = rows(count, levels, width, seed=1)
    leaning = embeddings.mean(dim=1) @ rows(len(PAIRS), width, seed=2).T
    labels = torch.where(leaning > 0, GOOD, BAD)
    labels[torch.rand(labels.shape, generator=torch.Generator().manual_seed(3)) < 1 / 3] = UNKNOWN
    return Looks(embeddings, labels)


def share_right(features: Tensor, looks: Looks) -> float:
    words = (looks.embeddings.mean(dim=1) @ F.normalize(features, dim=-1).T).unflatten(-1, (-1, 2))
    said = torch.where(words[..., 0] > words[..., 1], GOOD, BAD)
    known = looks.labels != UNKNOWN
    return float((said == looks.labels)[known].float().mean())


@pytest.mark.parametrize("levels", [1, 4])
def test_the_right_word_of_each_pair_comes_to_win(levels: int) -> None:
    looks = looks_with_words(400, levels, 32)
    features = rows(2 * len(PAIRS), 32, seed=4)
    assert 0.4 < share_right(features, looks) < 0.6
    fit_words(features, looks, 10.0)
    assert share_right(features, looks) > 0.9
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2 * len(PAIRS)))


def test_a_pair_of_which_nothing_is_known_stays() -> None:
    looks = looks_with_words(100, 1, 16)
    looks.labels[:, 5] = UNKNOWN
    features = rows(2 * len(PAIRS), 16, seed=4)
    before = features.clone()
    fit_words(features, looks, 10.0)
    torch.testing.assert_close(features[10:12], before[10:12])
    assert (features - before).norm(dim=-1)[:10].min() > 0.05


def test_the_score_is_kept_when_the_words_move() -> None:
    torch.manual_seed(0)
    model = BPCLIP(TINY, 10.0).eval()
    looks = Looks(rows(600, 4, TINY.text_width, seed=1), torch.empty(600, 20))
    with torch.no_grad():
        before = model.read_out(looks.embeddings).score.logit()
        model.text_features.copy_(rows(*model.text_features.shape, seed=2))
        moved = model.read_out(looks.embeddings).score.logit()
    keep_score(model, looks, before)
    with torch.no_grad():
        kept = model.read_out(looks.embeddings).score.logit()
    assert (kept - before).std() < 0.2 * (moved - before).std()
    assert np.corrcoef(kept, before)[0, 1] > 0.97


def test_a_photograph_is_seen_untouched_and_with_every_fault(photo_folder: Path) -> None:
    torch.manual_seed(0)
    model = QualiCLIP(TINY_QUALICLIP, 10.0).eval()
    pristine = list_photos(photo_folder)
    looks = look(model, PREPROCESSING, pristine, pristine, photographs=2, quiet=True)
    assert looks.embeddings.shape == (2 * (1 + len(NAMES)) + 2, 1, 16)
    torch.testing.assert_close(looks.embeddings.norm(dim=-1), torch.ones(len(looks.labels), 1))
    assert (looks.labels[0] == GOOD).all()
    assert (looks.labels[-2:] == UNKNOWN).all()
    of_faults = looks.labels[1 : 1 + len(NAMES)]
    assert (of_faults == BAD).any(dim=0).sum() >= len(PAIRS) - 1, "colours fade at two levels only"
    again = look(model, PREPROCESSING, pristine, pristine, photographs=2, quiet=True)
    torch.testing.assert_close(again.embeddings, looks.embeddings)


def test_of_qualiclip_only_the_adjectives_move(photo_folder: Path) -> None:
    torch.manual_seed(0)
    model = QualiCLIP(TINY_QUALICLIP, 10.0).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    settle_words(model, PREPROCESSING, list_photos(photo_folder), photographs=1, quiet=True)
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"adjectives_features"}


def test_of_bpclip_the_words_move_and_the_score_stays(photo_folder: Path) -> None:
    torch.manual_seed(0)
    model = BPCLIP(TINY, 10.0).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    paths = [photo.path for photo in list_scored(photo_folder)]
    pristine = list_photos(photo_folder)
    seen = look(model, PREPROCESSING, pristine, paths, photographs=2, seed=3, quiet=True)
    with torch.no_grad():
        scores = model.read_out(seen.embeddings).score
    settle_words(model, PREPROCESSING, pristine, paths, photographs=2, seed=3, quiet=True)
    moved = {
        key.split(".")[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])
    }
    assert moved == {"text_features", "regressor"}
    with torch.no_grad():
        assert (model.read_out(seen.embeddings).score - scores).abs().max() < 0.01
