"""The interface of every model for loading and running: pixels in; a score and, with words, cosines out.

A model sees images through an encoder, which gives feature maps, and makes of these an embedding, from which
it reads its answer out. The two are apart since models whose encoders are equal share one pass: the runtime
(:mod:`models.runtime`) puts an encoder made ready for inference in the place of the model's own.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor, nn

from models.backbones.feature_maps import FeatureMaps
from models.checkpoints.metadata import Weights
from models.ragged import Extents


@dataclass(frozen=True)
class ReadOut:
    """What a model says of ``B`` images or pairs, float32.

    Attributes:
        score: ``(B,)`` in [0, 1], higher is better.
        similarities: ``(B, 40)`` cosines with the adjectives; None of a model that has none.
        prompt_probabilities: ``(B, P)``, of the good prompt of each of :attr:`QualityModel.prompt_pairs`;
            None of a model without prompts.
    """

    score: Tensor
    similarities: Tensor | None = None
    prompt_probabilities: Tensor | None = None


@dataclass(frozen=True)
class WordsReadOut(ReadOut):
    """What a model says that has adjectives."""

    similarities: Tensor = field(kw_only=True)


class QualityModel(nn.Module):
    """A model that scores images, by its encoder's feature maps.

    Attributes:
        temperature: what cosines are multiplied by before a softmax over an antonym pair.
        multiple: what the sides of its input are brought to multiples of, by mirroring; 1 takes any.
        prompt_pairs: antonym pairs of prompts that its answer has probabilities of, the good one first.
    """

    temperature: float = 100.0
    prompt_pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    @abstractmethod
    def from_weights(cls, weights: Weights) -> Self:
        """The model that weights describe, in float32 and evaluation mode, on the CPU.

        Raises:
            WeightsInvalid: they do not fit.
        """

    @property
    def multiple(self) -> int:
        return 1

    @property
    def full_reference(self) -> bool:
        """Whether it compares an image with its reference."""
        return False

    @property
    def has_text_encoder(self) -> bool:
        """Whether words beyond the 40 can be encoded."""
        return False

    @property
    def encoder(self) -> nn.Module:
        """What it sees images through; see :func:`models.backbones.folding.for_inference`."""
        return PixelEncoder()

    def let_encoder_go(self, dtype: torch.dtype) -> None:
        """Makes the rest ready for inference, in `dtype` where that does no harm, and drops the encoder."""

    def forward(self, images: Tensor) -> ReadOut:
        """Score normalized images of one size, ``(B, 3, H, W)`` float32.

        What the runtimes are held to. Its own `forward` has a model whose encoder gives maps only after
        :func:`models.backbones.folding.for_inference`.
        """
        size = (images.shape[-2], images.shape[-1])
        levels = self.encoder(images, Extents((size,) * len(images), size))
        maps = FeatureMaps([values for values, _ in levels], [extents for _, extents in levels])
        return self.read_out(self.embed_maps(maps, ())[0])

    @abstractmethod
    def embed_maps(self, maps: FeatureMaps, mapped: Sequence[int]) -> tuple[Tensor, Sequence[Tensor]]:
        """From feature maps to what :meth:`read_out` reads.

        Args:
            maps: of ``B`` images; nothing beyond their extents counts.
            mapped: which images' local quality is wanted; of the others none is computed.

        Returns:
            Embeddings, ``(B, ...)`` float32, and for each of `mapped` its ``(h, w)`` local quality, float32
            in [0, 1], higher is better, on the grid of the last feature map.
        """

    @property
    def reads_means(self) -> bool:
        """Whether :meth:`embed_maps` reads the means of the feature maps alone, and no map itself."""
        return False

    def relate(self, distorted: FeatureMaps, reference: Sequence[Tensor]) -> Tensor:
        """Embeddings of pairs, of a full-reference model.

        Args:
            distorted: of the distorted images.
            reference: feature maps of the references, laid as those of the distorted images.
        """
        raise TypeError(f"{type(self).__name__} compares no pairs.")

    @abstractmethod
    def read_out(self, embeddings: Tensor) -> ReadOut:
        """What the embeddings amount to."""

    def encode_words(self, words: Sequence[str]) -> Tensor:
        """Unit features ``(n, d)`` of words, to be multiplied with embeddings ``(B, d)``."""
        raise TypeError(f"{type(self).__name__} has no text encoder.")


class PixelEncoder(nn.Module):
    """The encoder of a model that needs none: its one feature map is the normalized image."""

    def forward(self, images: Tensor, extents: Extents) -> list[tuple[Tensor, Extents]]:
        return [(images, extents)]
