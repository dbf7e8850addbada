"""The runtime on torch, operation by operation: images of mixed sizes in one tensor, half precision at will.

The equations stay where they are, in the models; this puts a folded encoder in the place of their backbone
and tells them what of a batch is image (:mod:`models.ragged`). Models whose encoders hold the same tensors
and take the same input share one: an image is encoded once, its feature maps go to every head. It is the
reference that every other runtime is held to.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor, nn

# They register with for_inference.
from models.backbones import folded_efficientnet, folded_resnet  # noqa: F401
from models.backbones.feature_maps import FeatureMaps
from models.backbones.folding import for_inference
from models.base import QualityModel, ReadOut
from models.loading import LoadedModel, Model, load_model
from models.preprocessing import Pixels, Preprocessing
from models.ragged import Extents, normalize, pack
from models.runtime.backend import Capabilities, Said
from models.runtime.device import (
    dtype_name,
    memory_for,
    resident_bytes,
    resolve_device,
    resolve_dtype,
    torch_dtype,
)

_WORDS_CACHED: Final = 256  # lists of words whose features are kept
# Over all models. Measured on two cores: up to here an image in a batch costs less than alone, a thumbnail a
# fifth; beyond, activations leave the cache and it costs more again.
_CPU_BATCH_PIXELS: Final = 1024 * 768
_CUDA_BATCH_PIXELS: Final = 16 * 2**20
# An encoded reference takes 88 bytes a pixel in float32 (bundled weights): six of 768 x 576, and 27.
_CPU_REFERENCE_BYTES: Final = 256 * 2**20
_CUDA_REFERENCE_BYTES: Final = 2**30


class EagerEncoder(nn.Module):
    """Pixels to feature maps: normalization and a folded encoder, which several models may share.

    Args:
        network: in evaluation mode; it is copied, not changed.
        preprocessing: of its input.
        multiple: what the sides of its input must be multiples of.
        dtype: of its stages; the stem stays in float32.

    Attributes:
        padded_pixels: computed so far, padding included.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, preprocessing: Preprocessing, multiple: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.multiple = multiple
        self.padded_pixels = 0
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocessing, name)).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.network = for_inference(network, dtype)

    def forward(self, pixels: Tensor, extents: Extents) -> FeatureMaps:
        """The feature maps of a packed batch.

        Args:
            pixels: ``(B, 3, H, W)`` uint8, as :func:`models.ragged.pack` lays them with :attr:`multiple`.
            extents: of the images in it.
        """
        levels = self.network(normalize(pixels, extents, self.mean, self.std), extents)
        return FeatureMaps([values for values, _ in levels], [extents for _, extents in levels])

    @torch.inference_mode()
    def encode(self, images: Sequence[Pixels], *, compared: bool = False) -> list["EncodedRow"]:
        """Images of any sizes in one tensor.

        Raises:
            OutOfMemory: there is no memory for all of them at once.
        """
        with memory_for(len(images)):
            pixels, extents = pack(images, self.multiple)
            if self.mean.is_cuda:  # eight-bit pixels travel, a quarter of the floats they become
                pixels = pixels.pin_memory().to(self.mean.device, non_blocking=True)
            maps = self(pixels, extents)
            self.padded_pixels += extents.padded_pixels
        return [EncodedRow(maps, row) for row in range(len(images))]


@dataclass(frozen=True)
class EncodedRow:
    """One image of a batch that was encoded together."""

    maps: FeatureMaps
    row: int

    @property
    def nbytes(self) -> int:
        return sum(
            values[0, :, :height, :width].numel() * values.element_size()
            for values, (height, width) in self._levels()
        )

    def kept(self) -> "EncodedRow":
        crops = [
            # A view would hold on to the whole batch that it is of.
            values[self.row : self.row + 1, :, :height, :width].clone(memory_format=torch.channels_last)
            for values, (height, width) in self._levels()
        ]
        return EncodedRow(FeatureMaps.unpadded(crops), 0)

    def _levels(self) -> Iterator[tuple[Tensor, tuple[int, int]]]:
        for values, extents in zip(self.maps.levels, self.maps.extents, strict=True):
            yield values, extents.sizes[self.row]


class InferenceModel(nn.Module):
    """A model for inference; it takes over `model`, whose own backbone is given up.

    Args:
        model: in evaluation mode, float32.
        preprocessing: of its input.
        dtype: of the encoder's stages and of the heads' large parts. Pooling accumulates in float32;
            similarities and scores are computed in it.
        encoder: of another model whose :func:`models.facts.encoder_digest`, preprocessing and dtype are the
            same; None for one of its own.

    Attributes:
        encoder: an :class:`EagerEncoder`.
        multiple: what the sides of its input must be multiples of; see :func:`models.ragged.pack`.
    """

    def __init__(
        self,
        model: QualityModel,
        preprocessing: Preprocessing,
        dtype: torch.dtype = torch.float32,
        encoder: EagerEncoder | None = None,
    ) -> None:
        super().__init__()
        self.multiple = model.multiple
        self.encoder = encoder or EagerEncoder(model.encoder, preprocessing, self.multiple, dtype)
        model.let_encoder_go(dtype)
        self.model = model.requires_grad_(False).eval()
        self._word_features: Callable[[tuple[str, ...]], Tensor]
        self._word_features = lru_cache(_WORDS_CACHED)(model.encode_words)

    def embed(self, pixels: Tensor, extents: Extents, references: Tensor | None = None) -> Tensor:
        """What :meth:`read_out` reads: ``(B, embed_dim)`` of QualiCLIP, ``(B, 4, d)`` of BPCLIP, float32.

        Args:
            pixels: ``(B, 3, H, W)`` uint8, as :func:`models.ragged.pack` lays them with :attr:`multiple`.
            extents: of the images in it.
            references: laid as `pixels`, of the same sizes, for a full-reference model.
        """
        if references is None:
            return self.embed_and_map(self.encoder(pixels, extents), ())[0]
        maps = self.encoder(torch.cat([pixels, references]), extents.repeated(2))
        count = len(pixels)
        return self.model.relate(maps.of(range(count)), maps.of(range(count, 2 * count)).levels)

    def embed_and_map(self, features: FeatureMaps, mapped: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """What :meth:`embed` gives without references, and local quality of some of the images.

        Args:
            features: of the images, from :attr:`encoder`.
            mapped: which images' local quality is wanted; of the others none is computed.

        Returns:
            The embeddings, and for each of `mapped` its ``(Hn, Wn)`` float32 in [0, 1], higher is better, on
            the grid of the last feature map.
        """
        embeddings, local = self.model.embed_maps(features, list(mapped))
        sizes = [features.extents[-1].sizes[row] for row in mapped]
        return embeddings, [
            values[:height, :width] for values, (height, width) in zip(local, sizes, strict=True)
        ]

    def read_out(self, embeddings: Tensor) -> ReadOut:
        """Scores and similarities of embeddings, float32."""
        return self.model.read_out(embeddings)

    @torch.inference_mode()
    def score(
        self, images: Sequence[EncodedRow], words: Sequence[Sequence[str]], mapped: Sequence[int]
    ) -> list[Said]:
        """See :class:`models.runtime.backend.Executable`."""
        with memory_for(len(images)):
            embeddings, local = self.embed_and_map(_together(images), mapped)
            said = self._said(embeddings)
        vectors = embeddings.flatten(1).float().numpy(force=True)
        maps = {row: tuple(map(tuple, values.tolist())) for row, values in zip(mapped, local, strict=True)}
        return [
            replace(each, words=self.compared(one, asked), local=maps.get(row), embedding=vector)
            for row, (each, one, asked, vector) in enumerate(
                zip(said, embeddings, words, vectors, strict=True)
            )
        ]

    @torch.inference_mode()
    def compare(self, distorted: Sequence[EncodedRow], references: Sequence[EncodedRow]) -> list[Said]:
        """See :class:`models.runtime.backend.Executable`."""
        with memory_for(len(distorted)):
            maps = _together(distorted)
            return self._said(self.model.relate(maps, _laid(references, maps)))

    def _said(self, embeddings: Tensor) -> list[Said]:
        output = self.read_out(embeddings)
        cosines, prompts = (
            [()] * len(embeddings) if values is None else map(tuple, values.tolist())
            for values in (output.similarities, output.prompt_probabilities)
        )
        return [Said(*each) for each in zip(output.score.tolist(), cosines, prompts, strict=True)]

    def compared(self, embedding: Tensor, words: Sequence[str]) -> tuple[float, ...] | None:
        """Cosines of an embedding with words beyond the 40; None where they cannot be compared."""
        if not words or not self.model.has_text_encoder:
            return None
        return tuple((self._word_features(tuple(words)) @ embedding).tolist())


class EagerBackend:
    """torch on one device; see :class:`models.runtime.backend.Backend`."""

    name = "eager"

    def __init__(self, device: str = "auto", dtype: str = "auto", threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._device = resolve_device(device)
        self.device = str(self._device)
        self.automatic = dtype == "auto"
        self.dtype = dtype_name(resolve_dtype(dtype, self._device))
        on_cuda = self._device.type == "cuda"
        self.capabilities = Capabilities(
            batch_pixels=_CUDA_BATCH_PIXELS if on_cuda else _CPU_BATCH_PIXELS,
            reference_bytes=_CUDA_REFERENCE_BYTES if on_cuda else _CPU_REFERENCE_BYTES,
        )
        # The encoder of a model that fell back to another precision goes with it.
        self._encoders: weakref.WeakValueDictionary[tuple[str, Preprocessing, str], EagerEncoder]
        self._encoders = weakref.WeakValueDictionary()
        if on_cuda:
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.benchmark = False  # it would time every new size
            # In float32, TF32 would make a score depend on its batch by more than the contract allows. Beside
            # half precision the stem may have it: it keeps ten bits of mantissa, where bfloat16 has seven.
            torch.backends.cudnn.allow_tf32 = dtype != "float32"

    @property
    def memory_bytes(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.memory_reserved(self._device)
        return resident_bytes()

    def load(
        self, name: str, source: str, *, sha256: str | None = None, allow_untrained: bool = False
    ) -> LoadedModel:
        return load_model(name, source, sha256=sha256, allow_untrained=allow_untrained)

    def precision_for(self, loaded: Model) -> str:
        return self.dtype

    def place(self, loaded: Model, dtype: str) -> InferenceModel:
        preprocessing = loaded.metadata.preprocessing
        shared = (loaded.facts.encoder, preprocessing, dtype)
        network = InferenceModel(loaded.module, preprocessing, torch_dtype(dtype), self._encoders.get(shared))
        self._encoders[shared] = network.encoder
        return network.to(self._device)


def _together(images: Sequence[EncodedRow]) -> FeatureMaps:
    """The maps of images that were encoded together, in the order given."""
    (maps,) = {id(image.maps): image.maps for image in images}.values()
    return maps.of([image.row for image in images])


def _laid(references: Sequence[EncodedRow], distorted: FeatureMaps) -> Sequence[Tensor]:
    """Levels of each pair's reference, in tensors as large as those of the distorted images.

    Beyond the extents lies anything.
    """
    batches = {id(image.maps): image.maps for image in references}
    rows = [image.row for image in references]
    if len(batches) == 1:
        (maps,) = batches.values()
        if maps.extents[0].padded == distorted.extents[0].padded:
            if len(set(rows)) == 1:
                return [values.expand(len(rows), -1, -1, -1) for values in maps.of(rows[:1]).levels]
            return maps.of(rows).levels
    levels = []
    for number, (values, extents) in enumerate(zip(distorted.levels, distorted.extents, strict=True)):
        laid = torch.zeros_like(values)
        for place, image, (height, width) in zip(laid, references, extents.sizes, strict=True):
            place[:, :height, :width] = image.maps.levels[number][image.row, :, :height, :width]
        levels.append(laid)
    return levels
