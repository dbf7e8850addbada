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

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.efficientnet import EfficientNetLite
from models.backbones.feature_maps import FeatureMaps
from models.backbones.padding import STRIDE, pad_to_stride
from models.backbones.resnet import EXPANSION, ResNet
from models.base import QualityModel, WordsReadOut
from models.bpclip.bottom_up import BottomUpLevel, PositionalEncoding
from models.bpclip.gated_pooling import GatedLocalPooling
from models.checkpoints.architecture import RESNET, Architecture
from models.checkpoints.errors import WeightsInvalid
from models.checkpoints.metadata import Weights
from models.checkpoints.state_dict import load_exactly
from models.ragged import Extents
from models.vocabulary import WORDS

Gated = tuple[Tensor, Tensor]
"""Values and their weights, ``(B, T, D)`` float32 each."""

PAIRED_LEVELS = 4
"""Pairs of neighboring feature maps, which are four since the backbone gives five [P]."""


@dataclass(frozen=True)
class BPCLIPConfig(Architecture):
    """The numbers of the architecture; the defaults are the paper's full model.

    ``encoder`` is the ResNet that ``layers``, ``channels`` and ``stem_channels`` (its first convolution)
    describe, or the name of an EfficientNet-Lite, for which ``rectified`` puts the magnitudes of its linear
    feature maps beside them (:func:`models.bpclip.gated_pooling.rectify`) [O]. ``learned_text``
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
    encoder: str = RESNET
    rectified: bool = False

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of the five feature maps F1..F5 of the ResNet."""
        return (self.stem_channels, *(EXPANSION * channels for channels in self.channels))


def compact(full_reference: bool) -> BPCLIPConfig:
    """Our small architecture for the bundled weights [O]."""
    return BPCLIPConfig(
        full_reference=full_reference,
        inner_width=64,
        text_width=256,
        mask_width=16,
        dropout=0.0,
        learned_text=True,
        encoder="efficientnet-lite0",
        rectified=True,
    )


@dataclass(frozen=True)
class LevelsReadOut(WordsReadOut):
    """What the model says of ``B`` images or pairs; ``similarities`` are the mean over the levels [O].

    ``level_similarities``: ``(B, 4, 40)`` cosines with the adjectives at each level (eq. 8), float32.
    """

    level_similarities: Tensor = field(kw_only=True)


class Backbone(nn.Module):
    """The encoder, shared by both images, giving five feature maps at strides 2 to 32 [P].

    The ResNet of the paper, or an EfficientNet-Lite that other models may share [O].

    Attributes:
        channels: of F1..F5.
    """

    def __init__(self, config: BPCLIPConfig) -> None:
        super().__init__()
        self.frozen_batch_norm = config.frozen_batch_norm
        # Its blocks do not begin with a last scale of zero, as CLIP's do: frozen batch norm [T] would keep
        # them there for ever. Fewer channels than 64 need a stem of three convolutions [O].
        if config.encoder == RESNET:
            self.resnet = ResNet(config.layers, config.channels, config.stem_channels)
            self.channels = config.feature_channels
        else:
            self.lite = EfficientNetLite(config.encoder)
            self.channels = self.lite.channels
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
        """``(B, 3, H, W)`` normalized, sides multiples of 32 -> F1..F5, ``(B, C_i, H / 2^i, W / 2^i)``."""
        return self.network.features(images)

    @property
    def network(self) -> ResNet | EfficientNetLite:
        """What gives the feature maps."""
        return self.lite if hasattr(self, "lite") else self.resnet


class BPCLIP(QualityModel):
    """The model, no-reference or full-reference by its config."""

    stride = STRIDE

    def __init__(self, config: BPCLIPConfig, temperature: float = 100.0) -> None:
        super().__init__()
        self.config = config
        self.temperature = temperature
        self.backbone = Backbone(config)
        self.pooling = nn.ModuleList(
            GatedLocalPooling(
                channels, config.full_reference, config.mask_width, config.inner_width, config.rectified
            )
            for channels in self.backbone.channels
        )
        self.position = PositionalEncoding(config.inner_width, config.position_side)
        self.levels = nn.ModuleList(
            BottomUpLevel(config.inner_width, config.text_width, config.heads, config.dropout)
            for _ in range(PAIRED_LEVELS)
        )
        # Y, unit rows: a frozen text encoder's output [P], or learned with a compact model [O].
        self.text_features = nn.Parameter(
            F.normalize(torch.randn(len(WORDS), config.text_width), dim=-1), requires_grad=config.learned_text
        )
        self.regressor = nn.Sequential(
            nn.Linear(PAIRED_LEVELS * len(WORDS), config.inner_width),
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
            WeightsInvalid: keys or shapes do not fit, or the file is of the wrong kind (NR or FR).
        """
        config = BPCLIPConfig.from_metadata(weights.metadata.architecture)
        if config.full_reference != (weights.metadata.model == "bpclip-fr"):
            raise WeightsInvalid("The weights say that they are no-reference and full-reference at once.")
        model = cls(config, weights.metadata.temperature)
        load_exactly(model, weights.tensors)
        return model.eval()

    def forward(self, distorted: Tensor, reference: Tensor | None = None) -> LevelsReadOut:
        """Score normalized images ``(B, 3, H, W)`` float32, any size from 32 px; see :class:`LevelsReadOut`.

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
        images = pad_to_stride(distorted)
        if reference is None:
            return self.relate(FeatureMaps.unpadded(self.backbone(images)), None)
        both = self.backbone(torch.cat([images, pad_to_stride(reference)]))
        first, second = zip(*(feature.chunk(2) for feature in both), strict=True)
        return self.relate(FeatureMaps.unpadded(first), second)

    @property
    def multiple(self) -> int:
        return self.stride

    @property
    def encoder(self) -> ResNet | EfficientNetLite:
        return self.backbone.network

    @torch.no_grad()
    def let_encoder_go(self, dtype: torch.dtype) -> None:
        """Masks and attention, where nearly all the remaining work is, are in `dtype`."""
        del self.backbone
        for pooling in cast(list[GatedLocalPooling], self.pooling):
            pooling.fold()
            pooling.phi.to(dtype)
        for level in cast(list[BottomUpLevel], self.levels):
            for part in (level.information, level.weight, level.value_mlp, level.weight_mlp):
                part.to(dtype)

    def embed_maps(self, maps: FeatureMaps, mapped: Sequence[int]) -> tuple[Tensor, Sequence[Tensor]]:
        grid = maps.extents[-1]
        gated = self.gate(self.pool(maps, None), grid)
        rows = list(mapped)
        chosen = [(value[rows], weight[rows]) for value, weight in gated] if rows else []
        local = self.local_quality(chosen, grid.padded).unbind() if rows else ()
        return self.sum_up(gated), local

    @property
    def reads_means(self) -> bool:
        return all(pooling.opens for pooling in cast(list[GatedLocalPooling], self.pooling))

    def relate(self, distorted: FeatureMaps, reference: Sequence[Tensor] | None) -> Tensor:
        """Eq. 1-7, from the backbone's five feature maps on: ``x_1..x_4``, ``(B, 4, d)`` float32.

        Args:
            distorted: maps of the distorted images, whose sides are multiples of 32; nothing beyond their
                extents counts.
            reference: F1..F5 of the references, ``(B, C_i, H / 2^i, W / 2^i)``, for a full-reference model.
        """
        return self.attend(self.pool(distorted, reference), distorted.extents[-1])

    def pool(self, distorted: FeatureMaps, reference: Sequence[Tensor] | None) -> list[Tensor]:
        """Eq. 1-2: G_1..G_5, ``(B, D, Hn, Wn)`` float32 each; arguments as of :meth:`relate`."""
        grid = distorted.extents[-1].padded
        pooled = []
        for place, pooling in enumerate(cast(list[GatedLocalPooling], self.pooling)):
            if reference is None and pooling.is_open:
                # Other heads pool the same means; the mask would only scale them.
                pooled.append(pooling.from_means(distorted.means[place]))
            else:
                other = None if reference is None else reference[place]
                pooled.append(pooling(distorted.levels[place], other, distorted.extents[place], grid))
        return pooled

    def attend(self, pooled: Sequence[Tensor], grid: Extents) -> Tensor:
        """Eq. 3-7, from G_1..G_5 on: ``x_1..x_4``, ``(B, 4, d)`` float32."""
        return self.sum_up(self.gate(pooled, grid))

    def gate(self, pooled: Sequence[Tensor], grid: Extents) -> list[Gated]:
        """Eq. 3-7 but for the sums, from G_1..G_5 on: values and weights of each level."""
        position = self.position(grid)
        tokens = [
            (values + position).flatten(2).transpose(1, 2).to(self.levels[0].dtype) for values in pooled
        ]
        valid = grid.valid_tokens(position.device)
        return [
            level.gate(tokens[i], tokens[i + 1], valid)
            for i, level in enumerate(cast(list[BottomUpLevel], self.levels))
        ]

    def sum_up(self, gated: Sequence[Gated]) -> Tensor:
        """The sums of eq. 7: ``x_1..x_4``, ``(B, 4, d)`` float32."""
        levels = zip(cast(list[BottomUpLevel], self.levels), gated, strict=True)
        return torch.stack([level.sum_up(*both) for level, both in levels], dim=1)

    def local_quality(self, gated: Sequence[Gated], grid: tuple[int, int]) -> Tensor:
        """Quality at each position of the grid, ``(B, Hn, Wn)`` float32 in [0, 1] [O].

        The sums of eq. 7 go over a neighbourhood of the position instead of the whole image, and are read out
        as ever. The mean of the map need not be the image's score: the read-out is not linear, and over the
        whole image the gates weigh one part against another. A side of ``n`` pixels has ``ceil(n / 32)``
        positions; what the last one sees beyond the image is the image mirrored.

        Args:
            gated: from :meth:`gate`.
            grid: ``(Hn, Wn)``.
        """
        levels = zip(cast(list[BottomUpLevel], self.levels), gated, strict=True)
        features = torch.stack([level.sum_up_locally(*both, grid) for level, both in levels], dim=2)
        return self.read_out(features.flatten(0, 1)).score.reshape(-1, *grid)

    def read_out(self, embeddings: Tensor) -> LevelsReadOut:
        """Eq. 8-9: ``x_1..x_4``, ``(B, 4, d)``, compared with the adjectives and regressed to a score.

        Plain cosines: the equations have no softmax, though a caption says so [P]. A sigmoid keeps the
        score in (0, 1) without flattening its order [O].
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = F.normalize(embeddings.float(), dim=-1) @ F.normalize(self.text_features, dim=-1).T
            score = self.regressor(cosines.flatten(1)).squeeze(-1).sigmoid()
            return LevelsReadOut(score, similarities=cosines.mean(dim=1), level_similarities=cosines)
