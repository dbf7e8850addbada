"""BPCLIP's full-reference recipe on a very small head."""

from pathlib import Path

import pytest
import torch

from models.bpclip.gated_pooling import compared_means
from models.training.batches import PairBatches
from models.training.encoder import imagenet_encoder
from models.training.heads.bpclip import embed_cells
from models.training.optimize import train
from tests.models.training.small_heads import losses, short, small_bpclip_fr, small_pairs


@pytest.fixture(scope="module")
def pairs(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PairBatches:
    return small_pairs(photo_folder, tmp_path_factory.mktemp("pairs"))


@pytest.mark.slow
def test_the_head_learns_and_the_encoder_stays_as_it_is(pairs: PairBatches, tmp_path: Path) -> None:
    recipe = small_bpclip_fr(pairs)
    before = {key: value.clone() for key, value in recipe.model.state_dict().items()}
    after = train(recipe, short(40, learning_rate=1e-2), tmp_path, quiet=True).state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    encoder = imagenet_encoder().state_dict()
    assert all(torch.equal(after[f"backbone.lite.{key}"], value) for key, value in encoder.items())
    unmoved = {key for key in after if torch.equal(before[key], after[key])}
    assert all("backbone" in key or ".phi." in key for key in unmoved), unmoved
    found = losses(tmp_path)
    assert sum(found[-10:]) < 0.8 * sum(found[:10])


@torch.no_grad()
def test_what_it_embeds_is_what_the_model_embeds(pairs: PairBatches) -> None:
    model = small_bpclip_fr(pairs).model.eval()
    distorted, reference = torch.randn(2, 2, 3, 96, 64)
    means = compared_means(model.backbone(distorted), model.backbone(reference)).permute(0, 2, 3, 1)
    expected = model.embed(distorted, reference)
    torch.testing.assert_close(embed_cells(model, means), expected, atol=1e-4, rtol=1e-4)
