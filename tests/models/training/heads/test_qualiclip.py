"""QualiCLIP's recipe on a very small head."""

from pathlib import Path

import pytest
import torch

from models.backbones.feature_maps import cell_means
from models.training.encoder import imagenet_encoder
from models.training.optimize import train
from tests.models.training.small_heads import Cells, losses, short, small_qualiclip


@pytest.mark.slow
@pytest.mark.parametrize("rated", [True, False])
def test_the_head_learns_and_the_encoder_stays_as_it_is(cells: Cells, tmp_path: Path, rated: bool) -> None:
    recipe = small_qualiclip(cells, rated=rated)
    before = {key: value.clone() for key, value in recipe.model.state_dict().items()}
    trained = train(recipe, short(40, learning_rate=1e-2), tmp_path, quiet=True)
    after = trained.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    encoder = imagenet_encoder().state_dict()
    for state in (after, recipe.model.state_dict()):
        assert all(torch.equal(state[f"visual.lite.{key}"], value) for key, value in encoder.items())
    unmoved = {key for key in after if "lite" not in key and torch.equal(before[key], after[key])}
    # The key bias of the pooling changes no output and gets no gradient.
    assert unmoved <= {"visual.attnpool.k_proj.bias"}
    found = losses(tmp_path)
    assert sum(found[-10:]) < 0.8 * sum(found[:10])


@torch.no_grad()
def test_what_it_embeds_is_what_the_model_embeds(cells: Cells) -> None:
    recipe = small_qualiclip(cells)
    model = recipe.model.eval()
    images = torch.randn(2, 3, 96, 64)
    seen = cell_means(model.visual.lite.features(images)).permute(0, 2, 3, 1)
    torch.testing.assert_close(recipe._embed(seen), model.embed(images))
