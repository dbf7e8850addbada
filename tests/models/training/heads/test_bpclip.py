"""BPCLIP's no-reference recipe on a very small head."""

from pathlib import Path

import pytest
import torch

from models.backbones.feature_maps import cell_means
from models.training.encoder import imagenet_encoder
from models.training.heads.bpclip import embed_cells
from models.training.optimize import train
from tests.models.training.small_heads import Cells, losses, short, small_bpclip


@pytest.mark.slow
def test_the_head_learns_and_the_encoder_stays_as_it_is(cells: Cells, tmp_path: Path) -> None:
    recipe = small_bpclip(cells)
    before = {key: value.clone() for key, value in recipe.model.state_dict().items()}
    trained = train(recipe, short(40, learning_rate=1e-2), tmp_path, quiet=True)
    after = trained.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    encoder = imagenet_encoder().state_dict()
    for state in (after, recipe.model.state_dict()):
        assert all(torch.equal(state[f"backbone.lite.{key}"], value) for key, value in encoder.items())
    unmoved = {key for key in after if torch.equal(before[key], after[key])}
    assert all(any(part in key for part in ("backbone", ".phi.", ".feature.")) for key in unmoved), unmoved
    found = losses(tmp_path)
    assert sum(found[-10:]) < 0.8 * sum(found[:10])


@torch.no_grad()
def test_what_it_embeds_is_what_the_model_embeds(cells: Cells) -> None:
    model = small_bpclip(cells).model.eval()
    images = torch.randn(2, 3, 96, 64)
    means = cell_means(model.backbone(images)).permute(0, 2, 3, 1)
    # All cells in any order; the sums of eq. 7 do not depend on it.
    torch.testing.assert_close(embed_cells(model, means), model.embed(images), atol=1e-4, rtol=1e-4)
    assert embed_cells(model, means, tokens=2).shape == (2, 4, 12)
