"""Small models with random weights that behave like trained ones, and random pictures."""

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from models.backbones.efficientnet import EfficientNetLite
from models.bpclip.gated_pooling import GatedLocalPooling
from models.bpclip.model import BPCLIP, compact
from models.checkpoints.architecture import RESNET
from models.preprocessing import CLIP_MEAN, CLIP_STD, Pixels, Preprocessing
from models.qualiclip.model import COMPACT, QualiCLIP, QualiCLIPConfig

PREPROCESSING = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD)

QUALICLIP = QualiCLIPConfig(embed_dim=32, layers=(1, 2, 1, 1), width=8, head_width=32, text_layers=0)
QUALICLIP_LITE = replace(COMPACT, embed_dim=32, head_width=32, token_width=64)
BPCLIP_LITE = replace(compact(False), inner_width=16, text_width=32)
BPCLIP_NR = replace(
    BPCLIP_LITE,
    encoder=RESNET,
    rectified=False,
    layers=(1, 2, 1, 1),
    channels=(8, 8, 16, 16),
    stem_channels=8,
    inner_width=16,
    text_width=32,
)
MODELS = {
    "qualiclip": lambda: QualiCLIP(QUALICLIP, temperature=10.0),
    "bpclip": lambda: BPCLIP(BPCLIP_NR, temperature=10.0),
    "bpclip, plain stem": lambda: BPCLIP(replace(BPCLIP_NR, stem_channels=64), temperature=10.0),
    "bpclip-fr": lambda: BPCLIP(replace(BPCLIP_NR, full_reference=True), temperature=10.0),
    "qualiclip, lite": lambda: QualiCLIP(QUALICLIP_LITE, temperature=10.0),
    "bpclip, lite": lambda: BPCLIP(BPCLIP_LITE, temperature=10.0),
    "bpclip, lite, open masks": lambda: opened(BPCLIP(BPCLIP_LITE, temperature=10.0)),
    "bpclip-fr, lite": lambda: BPCLIP(replace(BPCLIP_LITE, full_reference=True), temperature=10.0),
}

NO_REFERENCE = ("qualiclip", "bpclip", "qualiclip, lite", "bpclip, lite", "bpclip, lite, open masks")

sizes = st.lists(st.tuples(st.integers(32, 100), st.integers(32, 100)), min_size=2, max_size=6)


def opened(model: BPCLIP) -> BPCLIP:
    """With masks that are the same everywhere, as in the bundled weights."""
    for pooling in cast("list[GatedLocalPooling]", model.pooling):
        pooling.open_mask()
    return model


def lively(name: str, seed: int) -> QualiCLIP | BPCLIP:
    """A model with random weights, its batch norm far from the identity; the same for the same seed."""
    torch.manual_seed(seed)
    model = MODELS[name]()
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.empty_like(like).uniform_(low, high, generator=generator)

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(uniform(module.weight, 0.5, 1.5))
                module.bias.copy_(uniform(module.bias, -0.5, 0.8))
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.copy_(uniform(module.running_mean, -0.5, 0.5))
                module.running_var.copy_(uniform(module.running_var, 0.3, 2.0))
            elif isinstance(module, EfficientNetLite):
                # Its maps are standardized; random weights need their own numbers for it.
                module.level_means.copy_(uniform(module.level_means, -0.5, 0.5))
                module.level_scales.copy_(uniform(module.level_scales, 0.5, 2.0))
            elif isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.copy_(uniform(module.bias, -0.5, 0.5))
    return model.eval()


def pictures(sizes: list[tuple[int, int]], seed: int) -> list[Pixels]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
