"""EfficientNet-Lite, the encoder of the bundled weights: five feature maps at strides 2 to 32.

Sources: "EfficientNet", arXiv 1905.11946 (the blocks and their compound scaling); "MobileNetV2", arXiv
1801.04381 (the inverted bottleneck); TensorFlow's EfficientNet-Lite release (ReLU6, no
squeeze-and-excitation, stem and first stage not scaled). Parameters are named as in timm's
``tf_efficientnet_lite0``, which the tests compare this with, so that ImageNet weights fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BATCH_NORM_EPSILON: Final = 1e-3  # TensorFlow's
_STEM_CHANNELS: Final = 32
_EXPANSION: Final = 6
_DIVISOR: Final = 8  # channels are multiples of this


@dataclass(frozen=True)
class Stage:
    """One stage of the family, before scaling: how many blocks, of which kernel, channels and stride."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    blocks: int


STAGES: Final = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, _EXPANSION, 24, 2),
    Stage(5, 2, _EXPANSION, 40, 2),
    Stage(3, 2, _EXPANSION, 80, 3),
    Stage(5, 1, _EXPANSION, 112, 3),
    Stage(5, 2, _EXPANSION, 192, 4),
    Stage(3, 1, _EXPANSION, 320, 1),
)
_TAPPED: Final = (0, 1, 2, 4, 6)
"""The last stage at each stride from 2 to 32: these give F1 to F5."""

SCALES: Final[Mapping[str, tuple[float, float]]] = {
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite1": (1.0, 1.1),
    "efficientnet-lite2": (1.1, 1.2),
}
"""Width and depth multipliers by name. Lite0 has 3.4 million parameters without its classifier."""

MEAN: Final = (127 / 255,) * 3
STD: Final = (128 / 255,) * 3
"""Of the input: ``(x - 127) / 128`` for x in [0, 255]."""


class DepthwiseConv(nn.Conv2d):
    """A depthwise convolution, or the stem's full one, with TensorFlow's SAME padding for even sides.

    At stride 2 that padding is asymmetric: a kernel of 3 reads one position beyond the right edge and none
    beyond the left, a kernel of 5 two and one.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, groups=groups, bias=False)
        beyond = kernel - stride
        self.edges = (beyond // 2, beyond - beyond // 2)

    def forward(self, values: Tensor) -> Tensor:
        before, after = self.edges
        return super().forward(F.pad(values, (before, after, before, after)))


class Block(nn.Module):
    """An inverted bottleneck: expand (1x1), depthwise (3x3 or 5x5), project (1x1), around it the identity.

    The first stage does not expand and has two convolutions only.
    """

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.expands = expansion > 1
        self.stride = stride
        self.skips = stride == 1 and channels_in == channels
        if self.expands:
            self.conv_pw = nn.Conv2d(channels_in, hidden, 1, bias=False)
            self.bn1 = _norm(hidden)
            self.conv_dw = DepthwiseConv(hidden, hidden, kernel, stride, hidden)
            self.bn2 = _norm(hidden)
            self.conv_pwl = nn.Conv2d(hidden, channels, 1, bias=False)
            self.bn3 = _norm(channels)
        else:
            self.conv_dw = DepthwiseConv(hidden, hidden, kernel, stride, hidden)
            self.bn1 = _norm(hidden)
            self.conv_pw = nn.Conv2d(hidden, channels, 1, bias=False)
            self.bn2 = _norm(channels)

    def forward(self, values: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> ``(B, C', H / stride, W / stride)``; the last convolution has no activation."""
        if self.expands:
            hidden = F.relu6(self.bn1(self.conv_pw(values)))
            hidden = F.relu6(self.bn2(self.conv_dw(hidden)))
            hidden = self.bn3(self.conv_pwl(hidden))
        else:
            hidden = F.relu6(self.bn1(self.conv_dw(values)))
            hidden = self.bn2(self.conv_pw(hidden))
        return cast(Tensor, hidden + values) if self.skips else cast(Tensor, hidden)


class EfficientNetLite(nn.Module):
    """The network without its classifier.

    Args:
        name: a key of :data:`SCALES`.

    Attributes:
        channels: of F1 to F5.
        level_means, level_scales: buffers ``(C_1 + ... + C_5,)`` float32. Each channel of the five maps is
            given less its mean and divided by its scale, as measured on photographs (ours), so that all
            levels reach the heads in one range; 0 and 1 leave the maps as they are.
    """

    level_means: Tensor
    level_scales: Tensor

    def __init__(self, name: str = "efficientnet-lite0") -> None:
        super().__init__()
        width, depth = SCALES[name]
        self.conv_stem = DepthwiseConv(3, _STEM_CHANNELS, 3, 2, groups=1)
        self.bn1 = _norm(_STEM_CHANNELS)
        stages = []
        channels = _STEM_CHANNELS
        for number, stage in enumerate(STAGES):
            # Neither the first nor the last stage grows in depth, nor does the stem in width.
            count = stage.blocks if number in (0, len(STAGES) - 1) else _rounded_up(stage.blocks * depth)
            blocks = []
            for place in range(count):
                after = _to_divisor(stage.channels * width)
                stride = stage.stride if place == 0 else 1
                blocks.append(Block(channels, after, stage.kernel, stride, stage.expansion))
                channels = after
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.channels = tuple(_to_divisor(STAGES[number].channels * width) for number in _TAPPED)
        self.register_buffer("level_means", torch.zeros(sum(self.channels)))
        self.register_buffer("level_scales", torch.ones(sum(self.channels)))

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """F1..F5, ``(B, C_i, H / 2^i, W / 2^i)``, standardized by channel.

        Args:
            images: ``(B, 3, H, W)`` float32 normalized with :data:`MEAN` and :data:`STD`; sides are multiples
                of 32.
        """
        values = F.relu6(self.bn1(self.conv_stem(images)))
        found = []
        for number, stage in enumerate(self.blocks):
            values = stage(values)
            if number in _TAPPED:
                found.append(values)
        return tuple(
            (values - mean) / scale
            for values, mean, scale in zip(
                found, self.by_level(self.level_means), self.by_level(self.level_scales), strict=True
            )
        )

    def by_level(self, values: Tensor) -> list[Tensor]:
        """A buffer of all levels' channels as one ``(C_i, 1, 1)`` a level."""
        return [part[:, None, None] for part in values.split(self.channels)]

    @property
    def tapped_stages(self) -> tuple[int, ...]:
        """Places in ``blocks`` whose output is a feature map."""
        return _TAPPED


def load_imagenet(network: EfficientNetLite, tensors: Mapping[str, Tensor]) -> None:
    """Load ImageNet weights whose tensors stand in the order of timm's, whatever their names.

    Args:
        network: changed in place; its batch norms keep the loaded statistics.
        tensors: a state dict with the classifier's tensors at its end.

    Raises:
        ValueError: a shape does not fit.
    """
    own = [key for key in network.state_dict() if not key.startswith("level_")]
    state = {}
    for key, (name, value) in zip(own, tensors.items(), strict=False):
        if value.shape != network.state_dict()[key].shape:
            raise ValueError(f"The tensor {name} of {tuple(value.shape)} does not fit {key}.")
        state[key] = value
    if len(state) < len(own):
        raise ValueError(f"The weights hold {len(state)} tensors, the network needs {len(own)}.")
    network.load_state_dict(state, strict=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPSILON)


def _rounded_up(count: float) -> int:
    return -int(-count // 1)


def _to_divisor(channels: float) -> int:
    """The nearest multiple of :data:`_DIVISOR`, never more than a tenth below."""
    nearest = max(_DIVISOR, int(channels + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return nearest + _DIVISOR if nearest < 0.9 * channels else nearest
