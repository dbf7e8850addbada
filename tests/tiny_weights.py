"""Small random weights for the three models, which the tests of the service load."""

from dataclasses import replace
from pathlib import Path

import torch

from models.bpclip.model import BPCLIP, compact
from models.checkpoints.architecture import RESNET
from models.checkpoints.metadata import Metadata
from models.checkpoints.saving import save
from models.checkpoints.state_dict import stored
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from models.qualiclip.model import PROMPTS, QualiCLIP, QualiCLIPConfig

_LONGEST_SIDE = 384


def write(folder: Path) -> None:
    """Writes ``MODEL.safetensors`` of each model, in a tiny architecture; the same numbers each time."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        tiny = QualiCLIPConfig(embed_dim=32, layers=(1, 1, 1, 1), width=8, head_width=32, text_layers=0)
        _save(folder, "qualiclip", QualiCLIP(tiny), tiny.as_metadata())
        for name, full_reference in (("bpclip", False), ("bpclip-fr", True)):
            config = replace(
                compact(full_reference),
                encoder=RESNET,
                rectified=False,
                layers=(1, 1, 1, 1),
                channels=(8, 8, 16, 16),
                stem_channels=8,
                inner_width=16,
                text_width=32,
            )
            _save(folder, name, BPCLIP(config), config.as_metadata())


def _save(folder: Path, name: str, model: torch.nn.Module, architecture: dict[str, object]) -> None:
    tensors = stored(model.state_dict())
    metadata = Metadata(
        model=name,
        name=f"{name}-tiny",
        architecture=architecture,
        preprocessing=Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=_LONGEST_SIDE),
        prompts=list(PROMPTS) if name == "qualiclip" else [],
        text_encoder=False,
        license="Apache-2.0",
        source="random numbers",
        training_data="none",
        validated_sides=(64, _LONGEST_SIDE),
        created="2025-01-01",
    )
    save(folder / f"{name}.safetensors", tensors, metadata)
