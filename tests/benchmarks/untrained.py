"""Weights of the full-size architectures with arbitrary numbers: as fast as trained ones, else no good.

    python -m tests.benchmarks.untrained FOLDER

Their metadata says ``untrained``, and whoever loads weights refuses them unless IQA_ALLOW_UNTRAINED is on.
The numbers come from a seed, and are such that activations stay in the range of a trained network's: batch
norm has the statistics of photographs that packages carry, so half precision neither overflows nor is all
rounding.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from models.bpclip.model import BPCLIP, BPCLIPConfig
from models.checkpoints.metadata import Metadata
from models.checkpoints.saving import save
from models.checkpoints.state_dict import stored
from models.preprocessing import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from models.qualiclip.model import PROMPTS, QualiCLIP, QualiCLIPConfig
from models.registry import BUNDLED
from tests.photographs import photographs

_CROP: Final = 160  # pixels
_OPENING: Final = 0.01
"""How far antonyms lie apart, of which the softmax takes a hundredfold: scores of arbitrary features far
apart would be all or nothing, and leap with the rounding of half precision."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Full-size weights of arbitrary numbers, to measure speed.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for path in write(arguments.folder, arguments.seed).values():
        print(path)


def write(folder: Path, seed: int = 0, models: Sequence[str] = BUNDLED) -> dict[str, Path]:
    """Writes ``MODEL-untrained.safetensors`` in half precision for each model; 235 MB for all three.

    The same seed gives the same numbers on the same machine.
    """
    paths: dict[str, Path] = {}
    for name in models:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            model = _model(name)
            _fill(model, seed)
        paths[name] = folder / f"{name}-untrained.safetensors"
        save(paths[name], stored(model.state_dict()), _metadata(name, model, seed))
    return paths


def _model(name: str) -> QualiCLIP | BPCLIP:
    if name == "qualiclip":
        # The text tower takes no part in scoring an image.
        return QualiCLIP(QualiCLIPConfig(text_layers=0))
    # The defaults are the paper's; only the statistics are not fixed yet.
    return BPCLIP(BPCLIPConfig(full_reference=name == "bpclip-fr"))


@torch.no_grad()
def _fill(model: QualiCLIP | BPCLIP, seed: int) -> None:
    """Makes batch norm what it is in a trained network: its own scales and shifts, statistics of images."""
    for norm in _norms(model):
        # CLIP's blocks begin with a last scale of zero, which would leave out most of the network.
        norm.weight.uniform_(0.5, 1.0)
        norm.bias.normal_(0.0, 0.1)
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    if isinstance(model, BPCLIP):
        model.backbone.freeze_batch_norm(False)
        backbone: nn.Module = model.backbone
    else:
        for features in (model.prompts_features, model.adjectives_features):
            shared = features.unflatten(0, (-1, 2)).mean(dim=1, keepdim=True)
            contrast = torch.randn(len(features) // 2, 1, features.shape[1])
            contrast *= _OPENING / contrast.norm(dim=-1, keepdim=True)
            features.copy_(torch.cat([shared + contrast, shared - contrast], dim=1).flatten(0, 1))
        backbone = model.visual
    backbone.train()
    for batch in _batches(seed):
        backbone(batch)
    model.eval()


def _norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def _batches(seed: int) -> Iterator[Tensor]:
    """Crops of photographs, ``(6, 3, 160, 160)`` normalized."""
    draw = np.random.default_rng(seed)
    preprocessing = _preprocessing("qualiclip")
    for _ in range(2):
        crops = []
        for photo in photographs():
            top, left = (int(draw.integers(side - _CROP + 1)) for side in photo.shape[:2])
            crops.append(preprocessing.tensor(photo[top : top + _CROP, left : left + _CROP]))
        yield torch.cat(crops)


def _preprocessing(name: str) -> Preprocessing:
    # Scored at their own size, as QualiCLIP's published weights are.
    if name == "qualiclip":
        return Preprocessing(mean=CLIP_MEAN, std=CLIP_STD)
    return Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _metadata(name: str, model: QualiCLIP | BPCLIP, seed: int) -> Metadata:
    return Metadata(
        model=name,
        name=f"{name}-untrained",
        architecture=model.config.as_metadata(),
        preprocessing=_preprocessing(name),
        prompts=list(PROMPTS) if name == "qualiclip" else [],
        text_encoder=False,
        license="none: arbitrary numbers",
        source=f"random numbers, seed {seed}",
        training_data="none",
        validated_sides=(32, 2048),
        created="2025-01-01",
        untrained=True,
    )


if __name__ == "__main__":
    main()
