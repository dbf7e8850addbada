"""QualiCLIP: how much an image looks like "Good photo." rather than "Bad photo.", by CLIP's own measure.

Source: "Quality-Aware Image-Text Alignment for Opinion-Unaware Image Quality Assessment", arXiv 2403.11176.
CLIP's RN50 image tower, fine-tuned without human scores, is asked fourteen prompts in seven antonym pairs;
the score is the mean probability of the good one. Attention pooling has no positional embedding, so an image
goes in at its own size.

What is ours: the adjectives beside the prompts ("{Adjective} photo."), the compact architecture (the same
classes with smaller numbers), whose text features are learned with it and stored because it has no text
tower, and the algebra that lets the single query of the attention pooling do without projecting every token.

Local quality follows the dense readings of CLIP, first of all MaskCLIP ("Extract Free Dense Labels from
CLIP", arXiv 2112.01071): without its attention, the pooling's own value path puts every position of the last
grid into the space that images and texts share.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.efficientnet import EfficientNetLite
from models.backbones.feature_maps import FeatureMaps, cell_means
from models.backbones.padding import STRIDE, pad_to_stride
from models.backbones.resnet import ModifiedResNet
from models.base import QualityModel, WordsReadOut
from models.checkpoints.architecture import RESNET, Architecture
from models.checkpoints.errors import WeightsInvalid
from models.checkpoints.metadata import Weights
from models.checkpoints.state_dict import load_exactly
from models.qualiclip.attention_pool import MeanQueryAttentionPool
from models.ragged import Extents
from models.vocabulary import WORDS

PROMPTS: tuple[str, ...] = (
    "Good photo.",
    "Bad photo.",
    "Sharp image.",
    "Blurry image.",
    "Sharp edges.",
    "Blurry edges.",
    "High-resolution image.",
    "Low-resolution image.",
    "Noise-free image.",
    "Noisy image.",
    "High-quality image.",
    "Low-quality image.",
    "Good picture.",
    "Bad picture.",
)
"""The paper's fourteen prompts, the good one of each pair first. The official list misses the comma after
"Noisy image.", which joins two prompts; the stored features are in this order, so this is the right one."""
PROMPT_PAIRS: tuple[tuple[str, str], ...] = tuple(zip(PROMPTS[::2], PROMPTS[1::2], strict=True))
_CONTEXT_LENGTH = 77
_SAME_FEATURE = 0.999
"""Cosine from which a stored prompt feature counts as the one our text tower computes. Half-precision
rounding on either side stays above 0.9999."""


class TextEncoderUnavailable(Exception):
    """Words beyond the stored ones were asked of weights that carry no text encoder."""


@dataclass(frozen=True)
class QualiCLIPConfig(Architecture):
    """The numbers of the architecture; the defaults are CLIP's ``RN50-quickgelu``.

    ``embed_dim`` is the width of the space that images and texts share, ``width`` the channels after the
    stem, ``layers`` the bottleneck blocks of each stage, ``head_width`` the width of an attention head of
    the pooling. With the name of an EfficientNet-Lite as ``encoder``, ``layers`` and ``width`` play no part
    and ``token_width`` is the width of the tokens that are pooled. ``text_layers`` of 0 means: no text tower,
    text features are parameters of their own.
    """

    embed_dim: int = 1024
    layers: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64
    head_width: int = 64
    text_width: int = 512
    text_heads: int = 8
    text_layers: int = 12
    encoder: str = RESNET
    token_width: int = 0


COMPACT = QualiCLIPConfig(
    embed_dim=256, head_width=64, text_layers=0, encoder="efficientnet-lite0", token_width=384
)
"""Our small architecture for the bundled weights."""


@dataclass(frozen=True)
class PromptsReadOut(WordsReadOut):
    """What the model says of ``B`` images; ``prompt_probabilities`` are of the good prompts, ``(B, 7)``."""

    prompt_probabilities: Tensor = field(kw_only=True)


class ImageTower(ModifiedResNet):
    """CLIP's ResNet and what pools its last feature map."""

    def __init__(self, config: QualiCLIPConfig) -> None:
        super().__init__(config.layers, config.width)
        pooled_width = config.width * STRIDE
        self.attnpool = MeanQueryAttentionPool(
            pooled_width, pooled_width // config.head_width, config.embed_dim
        )

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` normalized -> ``(B, embed_dim)`` float32."""
        return cast(Tensor, self.attnpool(self.features(images)[-1]))


class LiteTower(nn.Module):
    """The compact image tower: a shared EfficientNet-Lite, tokens of all its levels, CLIP's pooling [O].

    CLIP pools its last feature map. Here a token is a cell of the stride-32 grid and stands for what all five
    levels see there, since the last map of a small ImageNet network knows little of noise and fine detail.
    """

    def __init__(self, config: QualiCLIPConfig) -> None:
        super().__init__()
        self.lite = EfficientNetLite(config.encoder)
        self.gather = nn.Sequential(nn.Linear(2 * sum(self.lite.channels), config.token_width), nn.GELU())
        self.attnpool = MeanQueryAttentionPool(
            config.token_width, config.token_width // config.head_width, config.embed_dim
        )

    def train(self, mode: bool = True) -> Self:
        """The encoder's batch norm keeps its statistics, as the models that share it need."""
        super().train(mode)
        if hasattr(self, "lite"):  # for inference the encoder lives elsewhere
            self.lite.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` normalized, sides multiples of 32 -> ``(B, embed_dim)`` float32."""
        return cast(Tensor, self.attnpool(self.tokens(cell_means(self.lite.features(images)))))

    def tokens(self, means: Tensor) -> Tensor:
        """:func:`cell_means` of the feature maps -> ``(B, token_width, Hn, Wn)`` float32, to be pooled."""
        return cast(Tensor, self.gather(means.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class QualiCLIP(QualityModel):
    """The model: CLIP's image tower, the features of the prompts and adjectives, and their comparison.

    Args:
        config: the architecture.
        temperature: what cosines are multiplied by before each softmax over a pair; 100 in the paper.
    """

    prompt_pairs: tuple[tuple[str, str], ...] = PROMPT_PAIRS
    stride = STRIDE

    def __init__(self, config: QualiCLIPConfig | None = None, temperature: float = 100.0) -> None:
        super().__init__()
        self.config = config or QualiCLIPConfig()
        self.temperature = temperature
        self.visual: ImageTower | LiteTower
        self.visual = ImageTower(self.config) if self.config.encoder == RESNET else LiteTower(self.config)
        self.text = _text_tower(self.config) if self.has_text_encoder else None
        # Features of texts: of a frozen tower they are constants, without a tower they are learned.
        self.prompts_features = nn.Parameter(
            _antonym_features(2 * len(self.prompt_pairs), self.config.embed_dim),
            requires_grad=not self.has_text_encoder,
        )
        self.adjectives_features = nn.Parameter(
            _antonym_features(len(WORDS), self.config.embed_dim), requires_grad=not self.has_text_encoder
        )

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts, the good one of each pair first."""
        return tuple(prompt for pair in self.prompt_pairs for prompt in pair)

    @property
    def has_text_encoder(self) -> bool:
        """Whether words beyond the stored ones can be encoded."""
        return self.config.text_layers > 0

    @classmethod
    def from_weights(cls, weights: Weights) -> Self:
        """Build the model that a weights file describes and load it, in float32 and evaluation mode.

        With a text tower on board, the stored prompt features are compared with its own encoding of
        :data:`PROMPTS`, which tells a wrong or reordered file from the right one, and the adjectives'
        features are computed.

        Raises:
            WeightsInvalid: keys, shapes or prompt features do not fit the architecture.
        """
        model = cls(
            QualiCLIPConfig.from_metadata(weights.metadata.architecture), weights.metadata.temperature
        )
        if weights.metadata.prompts and tuple(weights.metadata.prompts) != PROMPTS:
            raise WeightsInvalid("The weights were made for other prompts than QualiCLIP's fourteen.")
        state = own_names(weights.tensors)
        if model.has_text_encoder:
            # Not part of the official checkpoint; computed below.
            state.setdefault("adjectives_features", model.adjectives_features.detach())
        load_exactly(model, state)
        model.eval()
        if model.has_text_encoder:
            model._verify_prompts()
            with torch.no_grad():
                model.adjectives_features.copy_(model.encode_words(WORDS))
        return model

    def embed(self, images: Tensor) -> Tensor:
        """Unit embeddings ``(B, embed_dim)`` float32 of normalized images ``(B, 3, H, W)``, 32 px and up.

        For an EfficientNet-Lite, sides are mirrored to multiples of 32 [O].
        """
        if self.multiple > 1:
            images = pad_to_stride(images)
        return F.normalize(self.visual(images).float(), dim=-1)

    @property
    def multiple(self) -> int:
        """What the sides of the input are brought to multiples of: 1 for CLIP's tower, which takes any."""
        return 1 if isinstance(self.visual, ImageTower) else self.stride

    @property
    def encoder(self) -> ModifiedResNet | EfficientNetLite:
        return self.visual if isinstance(self.visual, ImageTower) else self.visual.lite

    @torch.no_grad()
    def let_encoder_go(self, dtype: torch.dtype) -> None:
        self.visual.attnpool.fold()
        # What pools stays; the convolutions live on in the encoder.
        if isinstance(self.visual, ImageTower):
            self.visual = cast(ImageTower, nn.ModuleDict({"attnpool": self.visual.attnpool}))
        else:
            del self.visual.lite

    def embed_maps(self, maps: FeatureMaps, mapped: Sequence[int]) -> tuple[Tensor, Sequence[Tensor]]:
        poolable = self.poolable(maps)
        # CLIP's tower drops what is left of a cell, so the encoder decides on the grid.
        embeddings = self.pool(poolable, maps.extents[-1])
        return embeddings, self.local_quality(poolable[list(mapped)]).unbind() if mapped else ()

    @property
    def reads_means(self) -> bool:
        return isinstance(self.visual, LiteTower)

    def poolable(self, features: FeatureMaps) -> Tensor:
        """What :meth:`pool` takes, ``(B, C, Hn, Wn)``, of the encoder's five feature maps."""
        if isinstance(self.visual, LiteTower):
            return self.visual.tokens(torch.cat(features.means, dim=1))
        return features.levels[-1]

    def pool(self, features: Tensor, extents: Extents | None = None) -> Tensor:
        """Unit embeddings ``(B, embed_dim)`` float32 of :meth:`poolable`, ``(B, C, H, W)``.

        What :meth:`embed` does after the image tower's last stage; beyond `extents` nothing counts.
        """
        return F.normalize(self.visual.attnpool(features, extents), dim=-1)

    def local_quality(self, features: Tensor) -> Tensor:
        """Quality at each position of :meth:`poolable`, ``(B, C, Hn, Wn)``: ``(B, Hn, Wn)`` float32.

        In [0, 1]: the mean probability of the good prompts, as of a whole image. The map's mean need not be
        the image's score: that asks the prompts once about all positions, attention choosing among them. A
        side of ``n`` pixels has ``(n + 1) // 32`` positions: the tower halves five times, the first time up,
        then down, so what is left of a cell at the right or bottom edge is not on the map.
        """
        embeddings = F.normalize(self.visual.attnpool.at_each_position(features), dim=-1)
        return self._prompt_probabilities(embeddings).mean(dim=-1)

    def forward(self, images: Tensor) -> PromptsReadOut:
        """Score normalized images ``(B, 3, H, W)`` float32; see :class:`PromptsReadOut`."""
        return self.read_out(self.embed(images))

    def read_out(self, embeddings: Tensor) -> PromptsReadOut:
        """Hold unit embeddings ``(B, embed_dim)`` against the prompts and the adjectives."""
        probabilities = self._prompt_probabilities(embeddings)
        similarities = _cosines(embeddings, self.adjectives_features)
        return PromptsReadOut(
            probabilities.mean(dim=-1), similarities=similarities, prompt_probabilities=probabilities
        )

    def prompt_similarities(self, embeddings: Tensor) -> Tensor:
        """Cosines ``(B, 14)`` of unit embeddings with the prompts, in the order of :data:`PROMPTS`."""
        return _cosines(embeddings, self.prompts_features)

    def _prompt_probabilities(self, embeddings: Tensor) -> Tensor:
        """Of the good prompt of each pair: ``(..., embed_dim)`` -> ``(..., 7)``."""
        cosines = self.temperature * self.prompt_similarities(embeddings)
        probabilities: Tensor = cosines.unflatten(-1, (len(self.prompt_pairs), 2)).softmax(dim=-1)
        return probabilities[..., 0]

    def encode_words(self, words: Sequence[str]) -> Tensor:
        """Unit features ``(n, embed_dim)`` of adjectives, each encoded as "{Adjective} photo.".

        Raises:
            TextEncoderUnavailable: these weights carry no text encoder.
        """
        return self.encode_texts([f"{word[:1].upper()}{word[1:]} photo." for word in words])

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit features ``(n, embed_dim)`` float32 of texts by the frozen text tower.

        Raises:
            TextEncoderUnavailable: these weights carry no text encoder.
        """
        if self.text is None:
            raise TextEncoderUnavailable(
                "These weights carry no text encoder, only the features of the 40 adjectives."
            )
        import open_clip  # takes a second, and few weights have a text encoder

        tokens = open_clip.tokenize(list(texts), context_length=_CONTEXT_LENGTH)
        encode: Callable[[Tensor], Tensor] = self.text.encode_text  # type: ignore[assignment]
        features = encode(tokens.to(self.prompts_features.device))
        return F.normalize(features.float(), dim=-1)

    def _verify_prompts(self) -> None:
        encoded = self.encode_texts(self.prompts)
        agreement = F.cosine_similarity(encoded, self.prompts_features, dim=-1)
        if agreement.min() < _SAME_FEATURE:
            wrong = self.prompts[int(agreement.argmin())]
            raise WeightsInvalid(
                "The stored prompt features are not those of the checkpoint's own text tower "
                f'(first of all "{wrong}"): the file is damaged, or of another model.'
            )


def _cosines(embeddings: Tensor, features: Tensor) -> Tensor:
    # Antonyms lie close together; in half precision their difference would be mostly rounding.
    with torch.autocast(embeddings.device.type, enabled=False):
        return embeddings.float() @ F.normalize(features.float(), dim=-1).T


def own_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename OpenAI's flat text-tower keys, which the official checkpoint uses, to ``text.*``."""
    ours = ("visual.", "text.", "prompts_features", "adjectives_features")
    renamed = {key if key.startswith(ours) else f"text.{key}": value for key, value in tensors.items()}
    # Without positional embedding in the pooling there is nothing to load it into.
    renamed.pop("visual.attnpool.positional_embedding", None)
    return renamed


def _text_tower(config: QualiCLIPConfig) -> nn.Module:
    import open_clip

    tower = open_clip.CLIP(
        embed_dim=config.embed_dim,
        vision_cfg={"layers": [1, 1, 1, 1], "width": 8, "head_width": 8, "image_size": STRIDE},
        text_cfg={
            "context_length": _CONTEXT_LENGTH,
            "vocab_size": 49408,
            "width": config.text_width,
            "heads": config.text_heads,
            "layers": config.text_layers,
        },
        quick_gelu=True,
    )
    del tower.visual  # QualiCLIP holds the image tower itself.
    return cast(nn.Module, tower.requires_grad_(False))


def _antonym_features(count: int, width: int, opening: float = 0.5) -> Tensor:
    """Start values ``(count, width)`` for learned text features: each pair opens around one direction.

    As in CLIP's text space, antonyms begin close together, so that no softmax is saturated from the start.
    """
    shared = F.normalize(torch.randn(1, width), dim=-1)
    contrast = F.normalize(torch.randn(count // 2, width), dim=-1)
    pairs = torch.stack([shared + opening * contrast, shared - opening * contrast], dim=1)
    return F.normalize(pairs.flatten(0, 1), dim=-1)
