"""CLIP-IQA (arXiv 2207.12396): how much closer an image comes to "Good photo." than to "Bad photo.", by CLIP.

Nothing is trained. Marks: [P] stated in the paper; [O] our decision.
"""

from collections.abc import Mapping
from typing import Self, cast

import torch
from torch import Tensor, nn

from models.checkpoints.errors import WeightsInvalid
from models.checkpoints.metadata import Metadata, Weights
from models.checkpoints.state_dict import load_exactly
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from models.qualiclip.model import QualiCLIP, QualiCLIPConfig, own_names
from models.vocabulary import WORDS


class CLIPIQA(QualiCLIP):
    """A CLIP ResNet whose pooling has no positional embedding [P], asked with one pair of prompts [P].

    The 40 adjectives are compared in the form that QualiCLIP's are, "{Adjective} photo." [O].
    """

    prompt_pairs = (("Good photo.", "Bad photo."),)

    @classmethod
    def from_weights(cls, weights: Weights) -> Self:
        """A CLIP ResNet with its text tower, by which prompts and adjectives are encoded here.

        Raises:
            WeightsInvalid: it is another model, or has no text tower.
        """
        config = QualiCLIPConfig.from_metadata(weights.metadata.architecture)
        if not config.text_layers:
            raise WeightsInvalid("CLIP-IQA needs weights with a text tower, which encodes its prompts.")
        model = cls(config, weights.metadata.temperature)
        features = {
            "prompts_features": model.prompts_features.detach(),
            "adjectives_features": model.adjectives_features.detach(),
        }
        load_exactly(model, own_names(weights.tensors) | features)
        model.eval()
        with torch.no_grad():
            model.prompts_features.copy_(model.encode_texts(model.prompts))
            model.adjectives_features.copy_(model.encode_words(WORDS))
        return model


def clip_weights(clip: nn.Module, license: str, source: str) -> tuple[Mapping[str, Tensor], Metadata]:
    """What :func:`models.checkpoints.saving.save` takes, of a CLIP ResNet that open_clip built.

    Args:
        clip: with the activation of OpenAI's models, for example ``RN50-quickgelu``.
        license: of its weights.
        source: where they come from.
    """
    visual, text = cast(nn.Module, clip.visual), cast(nn.Module, clip.transformer)
    layers = tuple(len(cast(nn.Sequential, getattr(visual, f"layer{stage}"))) for stage in (1, 2, 3, 4))
    width = 2 * cast(nn.Conv2d, visual.conv1).out_channels
    block = cast(nn.ModuleList, text.resblocks)[0]
    config = QualiCLIPConfig(
        embed_dim=cast(Tensor, clip.text_projection).shape[1],
        layers=cast("tuple[int, int, int, int]", layers),
        width=width,
        head_width=32 * width // cast(int, cast(nn.Module, visual.attnpool).num_heads),
        text_width=cast(Tensor, clip.text_projection).shape[0],
        text_heads=cast(int, cast(nn.Module, block.attn).num_heads),
        text_layers=len(cast(nn.ModuleList, text.resblocks)),
    )
    metadata = Metadata(
        model="clip-iqa",
        name="clip-iqa",
        architecture=config.as_metadata(),
        preprocessing=Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=None),
        text_encoder=True,
        license=license,
        source=source,
        training_data="that of CLIP; none of ours",
        validated_sides=(224, 1024),
        created="unknown",
    )
    return clip.state_dict(), metadata
