"""BPCLIP: quality from distortion to semantics, bottom-up over five scales, read out through adjectives.

Source: "BPCLIP: A Bottom-up Image Quality Assessment from Distortion to Semantics Based on CLIP",
arXiv 2506.17969 (ICME 2025). No public code or weights exist, so every line is marked:

- [P] stated in the paper;
- [T] not stated, taken from the closest published design, TOPIQ/CFANet (arXiv 2308.03060), whose settings
  the paper's match value for value;
- [O] our decision.

In the shapes, ``B`` is the batch, ``C`` a level's channels, ``D`` the inner width, ``d`` the width of the
text space, ``Hn x Wn`` the common grid at stride 32 and ``T = Hn * Wn`` its tokens.
"""

from dataclasses import dataclass
from typing import Self, cast

import torch
import torch.nn.functional as F
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn

from models.adjectives import WORDS
from models.architecture import Architecture
from models.state import load_exactly
from models.weights import Weights, WeightsInvalid

_STRIDE = 32
LEVELS = 4
"""Pairs of neighbouring feature maps, which are four since the backbone gives five [P]."""

_EPSILON = 1e-8
_PLAIN_STEM_CHANNELS = 64


@dataclass(frozen=True)
class BPCLIPConfig(Architecture):
    """The numbers of the architecture; the defaults are the paper's full model.

    ``layers`` and ``channels`` describe the ResNet, ``stem_channels`` its first convolution. ``learned_text``
    makes the adjectives' features parameters instead of a frozen encoder's output [O: the compact model has
    no CLIP text tower to take them from]. ``frozen_batch_norm`` is [T]; only a backbone that is trained
    from nothing needs it off [O].
    """

    full_reference: bool
    layers: tuple[int, int, int, int] = (3, 4, 6, 3)  # [P] ResNet-50
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem_channels: int = 64
    inner_width: int = 256  # D [O]
    text_width: int = 1024  # d [O]: CLIP RN50's
    mask_width: int = 64  # [T]
    heads: int = 4  # [T]
    dropout: float = 0.1  # [T]
    position_side: int = 32  # [T]
    learned_text: bool = False
    frozen_batch_norm: bool = True

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of the five feature maps F1..F5."""
        return (self.stem_channels, *(Bottleneck.expansion * channels for channels in self.channels))


def compact(full_reference: bool) -> BPCLIPConfig:
    """Our small architecture for the bundled weights [O]."""
    return BPCLIPConfig(
        full_reference=full_reference,
        layers=(2, 2, 2, 2),
        channels=(32, 64, 96, 160),
        stem_channels=32,
        inner_width=64,
        text_width=256,
        mask_width=16,
        learned_text=True,
    )


@dataclass(frozen=True)
class BPCLIPOutput:
    """What the model says of a batch of ``B`` images or pairs, float32.

    ``score``: ``(B,)`` in [0, 1], higher is better. ``level_similarities``: ``(B, 4, 40)`` cosines with the
    adjectives at each level (eq. 8). ``similarities``: ``(B, 40)``, their mean [O].
    """

    score: Tensor
    level_similarities: Tensor

    @property
    def similarities(self) -> Tensor:
        return self.level_similarities.mean(dim=1)


class Backbone(nn.Module):
    """The ResNet, shared by both images, giving five feature maps at strides 2 to 32 [P]."""

    def __init__(self, config: BPCLIPConfig) -> None:
        super().__init__()
        self.frozen_batch_norm = config.frozen_batch_norm
        # Frozen batch norm [T] with a last scale of zero would keep its block at zero for ever.
        self.resnet = ResNet(
            Bottleneck,  # type: ignore[arg-type]  # timm annotates the class as an instance
            layers=config.layers,
            channels=config.channels,
            # timm's plain stem has 64 channels; fewer need its stem of three convolutions [O].
            stem_type="" if config.stem_channels == _PLAIN_STEM_CHANNELS else "deep",
            stem_width=config.stem_channels // 2,
            num_classes=0,
            zero_init_last=False,
        )
        self.freeze_batch_norm(config.frozen_batch_norm)

    def freeze_batch_norm(self, frozen: bool) -> None:
        """Fix (or free) the statistics and the affine parameters of every batch norm."""
        self.frozen_batch_norm = frozen
        for norm in self._norms():
            norm.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen_batch_norm:
            for norm in self._norms():
                norm.eval()
        return self

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """``(B, 3, H, W)`` normalised, sides multiples of 32 -> F1..F5, ``(B, C_i, H / 2^i, W / 2^i)``."""
        resnet = self.resnet
        stages = cast(tuple[nn.Module, ...], (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4))
        features = [resnet.act1(resnet.bn1(resnet.conv1(images)))]
        deeper = resnet.maxpool(features[0])
        for stage in stages:
            deeper = stage(deeper)
            features.append(deeper)
        return tuple(features)


class GatedLocalPooling(nn.Module):
    """Eq. 1-2: a learned mask weighs a level's features, which are pooled to the common grid [P]."""

    def __init__(self, channels: int, config: BPCLIPConfig) -> None:
        super().__init__()
        width = config.mask_width
        # conv-GELU-conv-GELU-conv [P], kernel sizes [T].
        self.phi = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, 1, 3, padding=1),
        )
        self.full_reference = config.full_reference
        self.feature = nn.Identity() if config.full_reference else nn.Conv2d(channels, channels, 1)  # Wf [P]
        pooled = 3 * channels if config.full_reference else channels
        self.project = nn.Sequential(nn.Conv2d(pooled, config.inner_width, 1), nn.GELU())

    def forward(self, distorted: Tensor, reference: Tensor | None, grid: tuple[int, int]) -> Tensor:
        """One level's ``(B, C, h, w)`` -> ``G_i``, ``(B, D, Hn, Wn)``; ``h, w`` multiples of the grid."""
        if reference is None:
            mask = self.phi(distorted).sigmoid()
            features = self.feature(distorted)
        else:
            difference = smooth_abs(distorted - reference)
            mask = self.phi(difference).sigmoid()
            features = torch.cat([distorted, reference, difference], dim=1)
        window = (distorted.shape[-2] // grid[0], distorted.shape[-1] // grid[1])
        return cast(Tensor, self.project(F.avg_pool2d(mask * features, window)))


class PositionalEncoding(nn.Module):
    """One learnable encoding, the same for all five levels [P], as two broadcast factors [T]."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.vertical = nn.Parameter(torch.empty(1, width // 2, side, 1))
        self.horizontal = nn.Parameter(torch.empty(1, width // 2, 1, side))
        nn.init.trunc_normal_(self.vertical, std=0.02)
        nn.init.trunc_normal_(self.horizontal, std=0.02)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """The encoding resized to a grid, ``(1, D, Hn, Wn)``."""
        side = self.vertical.shape[-2]
        encoding = torch.cat(
            [self.vertical.expand(-1, -1, -1, side), self.horizontal.expand(-1, -1, side, -1)], dim=1
        )
        return F.interpolate(encoding, size=grid, mode="bicubic", align_corners=False)


class Attention(nn.Module):
    """``Attn(q, k = v) + q`` and a feed-forward layer, pre-LayerNorm; one layer [T]."""

    def __init__(self, config: BPCLIPConfig) -> None:
        super().__init__()
        width = config.inner_width
        self.norm_query = nn.LayerNorm(width)
        self.norm_key = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, config.heads, config.dropout, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(config.dropout),
        )

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """``(B, T, D)`` asks ``(B, T, D)``; the answer is ``(B, T, D)``."""
        keys = self.norm_key(key)
        attended, _ = self.attention(self.norm_query(query), keys, keys, need_weights=False)
        hidden = query + self.dropout(attended)
        return cast(Tensor, hidden + self.feed_forward(hidden))


class BottomUpLevel(nn.Module):
    """Eq. 4-7 for one of the four parallel levels: two branches, and the way to the text space."""

    def __init__(self, config: BPCLIPConfig) -> None:
        super().__init__()
        inner, text = config.inner_width, config.text_width
        self.information = Attention(config)
        self.weight = Attention(config)
        # Widths D -> 2D -> D [O].
        self.value_mlp = nn.Sequential(
            nn.Linear(inner, 2 * inner), nn.ReLU(), nn.Linear(2 * inner, inner), nn.ReLU()
        )
        self.weight_mlp = nn.Sequential(
            nn.Linear(inner, 2 * inner), nn.ReLU(), nn.Linear(2 * inner, inner), nn.Sigmoid()
        )
        self.to_text = nn.Sequential(nn.Linear(inner, text), nn.ReLU(), nn.Linear(text, text))  # [O]

    def forward(self, shallower: Tensor, deeper: Tensor) -> Tensor:
        """``G_i`` and ``G_{i+1}``, ``(B, T, D)`` each -> ``x_i``, ``(B, d)`` float32."""
        # The shallower level asks the deeper one: this is what "bottom-up" means here [P].
        value = self.value_mlp(self.information(shallower, deeper))
        weight = self.weight_mlp(self.weight(shallower, shallower))
        with torch.autocast(value.device.type, enabled=False):
            value, weight = value.float(), weight.float()
            feature = (weight * value).sum(dim=1) / (weight.sum(dim=1) + _EPSILON)  # [O]
            return cast(Tensor, self.to_text(feature))


class BPCLIP(nn.Module):
    """The model, no-reference or full-reference by its config."""

    stride = _STRIDE

    def __init__(self, config: BPCLIPConfig, temperature: float = 100.0) -> None:
        super().__init__()
        self.config = config
        self.temperature = temperature
        self.backbone = Backbone(config)
        self.pooling = nn.ModuleList(
            GatedLocalPooling(channels, config) for channels in config.feature_channels
        )
        self.position = PositionalEncoding(config.inner_width, config.position_side)
        self.levels = nn.ModuleList(BottomUpLevel(config) for _ in range(LEVELS))
        # Y, unit rows: a frozen text encoder's output [P], or learned with a compact model [O].
        self.text_features = nn.Parameter(
            F.normalize(torch.randn(len(WORDS), config.text_width), dim=-1), requires_grad=config.learned_text
        )
        self.regressor = nn.Sequential(
            nn.Linear(LEVELS * len(WORDS), config.inner_width),
            nn.ReLU(),
            nn.Linear(config.inner_width, 1),
        )

    @property
    def full_reference(self) -> bool:
        """Whether the model compares an image with its reference."""
        return self.config.full_reference

    @classmethod
    def from_weights(cls, weights: Weights) -> Self:
        """Build the model that a weights file describes and load it, in float32 and evaluation mode.

        Raises:
            WeightsInvalid: keys or shapes do not fit, or the file is of the other kind (NR and FR).
        """
        config = BPCLIPConfig.from_metadata(weights.metadata.architecture)
        if config.full_reference != (weights.metadata.model == "bpclip-fr"):
            raise WeightsInvalid("The weights say that they are no-reference and full-reference at once.")
        model = cls(config, weights.metadata.temperature)
        load_exactly(model, weights.tensors)
        return model.eval()

    def forward(self, distorted: Tensor, reference: Tensor | None = None) -> BPCLIPOutput:
        """Score normalised images ``(B, 3, H, W)`` float32, any size from 32 px; see :class:`BPCLIPOutput`.

        Raises:
            ValueError: a full-reference model without a reference of the same size, or the reverse.
        """
        return self.read_out(self.embed(distorted, reference))

    def embed(self, distorted: Tensor, reference: Tensor | None = None) -> Tensor:
        """``x_1..x_4``, ``(B, 4, d)`` float32: each level in the text space; arguments as of :meth:`forward`.

        Raises:
            ValueError: as :meth:`forward`.
        """
        if (reference is not None) != self.full_reference:
            raise ValueError("A full-reference model needs a reference, a no-reference model takes none.")
        if reference is not None and reference.shape != distorted.shape:
            raise ValueError("The distorted image and its reference must have the same size.")
        features = self.features(distorted, reference)
        grid = (features[-1][0].shape[-2], features[-1][0].shape[-1])
        position = self.position(grid)
        tokens = [
            (pooling(level_distorted, level_reference, grid) + position).flatten(2).transpose(1, 2)
            for pooling, (level_distorted, level_reference) in zip(self.pooling, features, strict=True)
        ]
        return torch.stack([level(tokens[i], tokens[i + 1]) for i, level in enumerate(self.levels)], dim=1)

    def features(self, distorted: Tensor, reference: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
        """The backbone's five maps of the padded image(s), each as ``(distorted, reference or None)``."""
        if reference is None:
            return [(feature, None) for feature in self.backbone(pad_to_stride(distorted))]
        both = self.backbone(pad_to_stride(torch.cat([distorted, reference])))
        return [(first, second) for first, second in (feature.chunk(2) for feature in both)]

    def read_out(self, embeddings: Tensor) -> BPCLIPOutput:
        """Eq. 8-9: ``x_1..x_4``, ``(B, 4, d)``, held against the adjectives and regressed to a score.

        Plain cosines: the equations have no softmax, though a caption says so [P]. A sigmoid keeps the
        score in (0, 1) without flattening its order [O].
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = F.normalize(embeddings.float(), dim=-1) @ F.normalize(self.text_features, dim=-1).T
            return BPCLIPOutput(self.regressor(cosines.flatten(1)).squeeze(-1).sigmoid(), cosines)


def smooth_abs(values: Tensor) -> Tensor:
    """``|x| = sqrt(x^2 + 1e-12)``, with a gradient at zero [T]."""
    # In half precision 1e-12 would vanish and the gradient at zero with it.
    return (values.float().square() + 1e-12).sqrt().to(values.dtype)


def pad_to_stride(images: Tensor) -> Tensor:
    """Reflect-pad ``(B, 3, H, W)`` right and bottom to multiples of 32: every level's grid is whole [O].

    Sides from 32 px up: at most 31 rows are mirrored, which reflection allows.
    """
    bottom, right = -images.shape[-2] % _STRIDE, -images.shape[-1] % _STRIDE
    return F.pad(images, (0, right, 0, bottom), mode="reflect") if bottom or right else images
