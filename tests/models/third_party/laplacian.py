"""A model of another package: the variance of the Laplacian, which a blurred image has little of.

It has no adjectives and no weights, and knows of this project only what :mod:`models` offers.
"""

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbones.feature_maps import FeatureMaps
from models.base import QualityModel, ReadOut
from models.checkpoints.metadata import Metadata, Weights
from models.preprocessing import Preprocessing
from models.registry import ModelSpec

SPEC = ModelSpec(
    name="laplacian",
    title="Laplacian",
    network="laplacian:Laplacian",
    weights="laplacian:no_weights",
    adjectives=False,
)


class Laplacian(QualityModel):
    """Score ``v / (v + 0.01)`` of the variance ``v`` of the Laplacian of the mean over RGB in [0, 1]."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
        self.register_buffer("kernel", kernel, persistent=False)

    @classmethod
    def from_weights(cls, weights: Weights) -> Self:
        return cls().eval()

    def embed_maps(self, maps: FeatureMaps, mapped: Sequence[int]) -> tuple[Tensor, Sequence[Tensor]]:
        gray = maps.levels[0].mean(dim=1, keepdim=True)
        edges = F.conv2d(gray, self.kernel)[:, 0]
        variances = [
            edges[row, : height - 2, : width - 2].var(correction=0)
            for row, (height, width) in enumerate(maps.extents[0].sizes)
        ]
        local = [(edges[row].abs() / 4).clamp(0, 1) for row in mapped]
        return torch.stack(variances)[:, None], local

    def read_out(self, embeddings: Tensor) -> ReadOut:
        return ReadOut(embeddings[:, 0] / (embeddings[:, 0] + 0.01))


def no_weights() -> Weights:
    metadata = Metadata(
        model="laplacian",
        name="laplacian-1",
        architecture={},
        preprocessing=Preprocessing(mean=(0, 0, 0), std=(1, 1, 1), longest_side=768),
        text_encoder=False,
        license="Apache-2.0",
        source="a formula",
        training_data="none",
        validated_sides=(32, 768),
        created="2026-11-28",
    )
    return Weights(metadata, {}, "0" * 64, None)
