"""BPCLIP's full-reference recipe on very small networks, with either encoder."""

from pathlib import Path

import pytest
import torch

from models.bpclip import BPCLIP, BPCLIPConfig
from models.training.bpclip_fr import FullReferenceRecipe
from models.training.loop import train
from models.training.photos import list_photos
from tests.models.test_bpclip import TINY_FR
from tests.models.training.heads import TINY_BPCLIP_FR, losses, short


@pytest.mark.parametrize("config", [TINY_FR, TINY_BPCLIP_FR])
def test_all_learns_but_batch_norm_and_an_encoder_that_is_shared(
    config: BPCLIPConfig, photo_folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    recipe = FullReferenceRecipe(BPCLIP(config, 10.0), list_photos(photo_folder), crop=64, batch=4)
    before = {key: value.clone() for key, value in recipe.model.state_dict().items()}
    after = train(recipe, short(3), tmp_path, quiet=True).state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    stays = ("backbone.lite.",) if config is TINY_BPCLIP_FR else ("running_", "num_batches")
    for key, value in after.items():
        if any(part in key for part in stays):
            assert torch.equal(value, before[key]), key
            assert torch.equal(recipe.model.state_dict()[key], before[key]), key
    learning = [key for key, parameter in recipe.model.named_parameters() if parameter.requires_grad]
    assert not any("lite" in key for key in learning)
    assert all(not torch.equal(after[key], before[key]) for key in learning)
    assert len(losses(tmp_path)) == 3
