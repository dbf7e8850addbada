"""The models on a device. Nothing else touches one.

The inference process and the command line use the same class, so both give the same numbers.
"""

import logging
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor

from app.inference import canary
from app.inference.device import (
    DTYPES,
    OutOfMemory,
    dtype_name,
    is_out_of_memory,
    resolve_device,
    resolve_dtype,
)
from app.inference.encoded import Encoded
from app.inference.encoded_references import Needed, References
from app.inference.task_items import Item, Pixels, Place, divided, gathered
from app.inference.tasks import (
    FULL_REFERENCE,
    CompareResult,
    CompareTask,
    ModelCard,
    ModelResult,
    Result,
    ScoreResult,
    ScoreTask,
    Task,
)
from models.checkpoints.metadata import Metadata, ModelName
from models.preprocessing import Preprocessing
from models.qualiclip.model import QualiCLIP, QualiCLIPOutput
from models.ragged import pack
from models.registry import LoadedModel, load_model
from models.runtime.eager import ImageEncoder, InferenceModel, encoder_digest
from models.vocabulary import dimension_scores, pair_probabilities

_Map = tuple[tuple[float, ...], ...]  # rows of local quality
# Models whose encoders are equal, in tensors, input and precision, share one.
_Encoders = dict[tuple[str, Preprocessing, torch.dtype], ImageEncoder]
_log = logging.getLogger("iqa.engine")
_WORDS_CACHED: Final = 256  # lists of words whose features are kept
# Over all models. Measured on two cores: up to here an image in a batch costs less than alone, a thumbnail a
# fifth; beyond, activations leave the cache and it costs more again.
_CPU_BATCH_PIXELS: Final = 1024 * 768
_CUDA_BATCH_PIXELS: Final = 16 * 2**20
# An encoded reference takes 88 bytes a pixel in float32 (bundled weights): six of 768 x 576, and 27.
_CPU_REFERENCE_BYTES: Final = 256 * 2**20
_CUDA_REFERENCE_BYTES: Final = 2**30


@dataclass(frozen=True)
class Tally:
    """Pixels that went through a network since the start, images only (``useful``) and with padding."""

    useful: int = 0
    padded: int = 0


@dataclass(frozen=True)
class _Slot:
    """A model on the device, and what is told of it."""

    network: InferenceModel
    metadata: Metadata
    card: ModelCard


class Engine:
    """Loaded models on one device.

    Args:
        sources: weights by model: "bundled", "official" or a path for each of qualiclip, bpclip, bpclip-fr
            that is to be loaded.
        device: "auto" (the first CUDA device, else the CPU), "cpu", "cuda" or "cuda:N".
        dtype: "float32", "bfloat16", "float16", or "auto": bfloat16 for the models that keep to the bound of
            half precision on the canary image, where the device has it in hardware; float32 else.
        max_scored_pixels: what larger images are scaled down to.
        qualiclip_sha256: what QualiCLIP's official checkpoint must hash to; None for the first download's.
        allow_untrained: whether weights that say they are untrained may be loaded.
        reference_cache_bytes: how much of the device's memory may hold encoded references, for pairs that
            name theirs; of 0, none are kept. None for what suits the device.

    Raises:
        WeightsError: weights cannot be used; the message is one sentence.
        DeviceUnavailable: likewise for the device.
        CanaryFailed: the models do not score the canary image as they should.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        device: str = "auto",
        dtype: str = "auto",
        max_scored_pixels: int = 2 * 2**20,
        qualiclip_sha256: str | None = None,
        allow_untrained: bool = False,
        reference_cache_bytes: int | None = None,
    ) -> None:
        self.device = resolve_device(device)
        if reference_cache_bytes is None:
            on_cuda = self.device.type == "cuda"
            reference_cache_bytes = _CUDA_REFERENCE_BYTES if on_cuda else _CPU_REFERENCE_BYTES
        self.references = References(reference_cache_bytes)
        self.max_scored_pixels = max_scored_pixels
        self.tally = Tally()
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.benchmark = False  # it would time every new size
            # In float32, TF32 would make a score depend on its batch by more than the contract allows. Beside
            # half precision the stem may have it: it keeps ten bits of mantissa, where bfloat16 has seven.
            torch.backends.cudnn.allow_tf32 = dtype != "float32"
        wanted = resolve_dtype(dtype, self.device)
        self._slots: dict[str, _Slot] = {}
        # Dropped when all models are loaded: the encoder of a model that fell back to float32 goes with it.
        encoders: _Encoders = {}
        self.expected: dict[str, float] = {}  # the canary's score by each model, as its plain modules give it
        # Only "official" is held to the pin.
        load = partial(load_model, sha256=qualiclip_sha256, allow_untrained=allow_untrained)
        for name, source in sources.items():
            loaded = load(cast(ModelName, name), source)
            self.expected[name] = canary.reference_score(loaded)
            self._slots[name] = self._placed(loaded, wanted, encoders)
            if dtype == "auto" and wanted != torch.float32 and not canary.agrees(self, name):
                _log.warning(
                    "%s is too coarse in %s for its weights; it runs in float32", name, dtype_name(wanted)
                )
                again = load(cast(ModelName, name), source)
                self._slots[name] = self._placed(again, torch.float32, encoders)
        self._word_features = lru_cache(_WORDS_CACHED)(self._encode_words)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the loaded no-reference models."""
        return tuple(name for name in self._slots if name != FULL_REFERENCE)

    @property
    def dtype_name(self) -> str:
        """The precision of inference: float32, bfloat16 or float16; of several, the lowest that is used."""
        return min((card.dtype for card in self.cards()), key=lambda name: DTYPES[name].itemsize)

    def dtype_of(self, name: str) -> str:
        """The precision that a loaded model runs in."""
        return self._slots[name].card.dtype

    @property
    def batch_pixels(self) -> int:
        """A good number of pixels for one batch on this device, padding included."""
        return _CUDA_BATCH_PIXELS if self.device.type == "cuda" else _CPU_BATCH_PIXELS

    @property
    def memory_bytes(self) -> int:
        """Device memory that is held; on a CPU, resident memory of this process."""
        if self.device.type == "cuda":
            return torch.cuda.memory_reserved(self.device)
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def cards(self) -> tuple[ModelCard, ...]:
        """What is loaded."""
        return tuple(slot.card for slot in self._slots.values())

    def score(self, tasks: Sequence[ScoreTask]) -> list[ScoreResult | Exception]:
        """Scores images without a reference; see :meth:`run`."""
        return cast(list[ScoreResult | Exception], self.run(tasks))

    def compare(self, tasks: Sequence[CompareTask]) -> list[CompareResult | Exception]:
        """Holds distorted images against their references; see :meth:`run`.

        Raises:
            ValueError: no full-reference weights are loaded.
        """
        return cast(list[CompareResult | Exception], self.run(tasks))

    def run(self, tasks: Sequence[Task]) -> list[Result | Exception]:
        """Does tasks of both kinds as one batch; a task that fails gets its exception as result.

        Each model sees all of its images in one tensor, whatever their sizes, padded to the largest; a result
        does not depend on what it shared the tensor with. Which tasks go well together is for the caller to
        decide (:mod:`app.inference.scheduling`).

        Raises:
            ValueError: a pair is to be compared, and no full-reference weights are loaded.
            OutOfMemory: the device has no memory for all of them at once.
        """
        if FULL_REFERENCE not in self._slots and any(isinstance(task, CompareTask) for task in tasks):
            raise ValueError(f"No weights of {FULL_REFERENCE} are loaded.")
        found: dict[Place, dict[str, ModelResult | Exception]] = {}
        for names in self._sharing():
            preprocessing = self._slots[names[0]].metadata.preprocessing
            fitted = partial(preprocessing.fit, max_pixels=self.max_scored_pixels)
            items = [
                item for number, task in enumerate(tasks) for item in divided(number, task, names, fitted)
            ]
            for item, results in zip(items, self._isolating(items), strict=True):
                found.setdefault(item.place, {}).update(results)
        return [gathered(number, task, found) for number, task in enumerate(tasks)]

    def _sharing(self) -> list[list[str]]:
        """Names of the loaded models, those that share an encoder together."""
        groups: dict[int, list[str]] = {}
        for name, slot in self._slots.items():
            groups.setdefault(id(slot.network.encoder), []).append(name)
        return list(groups.values())

    def _isolating(self, items: Sequence[Item]) -> list[dict[str, ModelResult | Exception]]:
        """Runs a batch; if it fails, each of its halves, so that in the end only the culprit pays."""
        if not items:
            return []
        try:
            return list(self._infer(items))
        except torch.OutOfMemoryError as error:
            self.references.clear()  # the work comes before what only speeds it up
            raise OutOfMemory(f"The device has no memory for {len(items)} images at once.") from error
        except Exception as error:
            if is_out_of_memory(error):
                self.references.clear()
                raise OutOfMemory(f"There is no memory for {len(items)} images at once.") from error
            if len(items) == 1:
                return self._one_by_one(items[0], error)
            middle = len(items) // 2
            return [*self._isolating(items[:middle]), *self._isolating(items[middle:])]

    def _one_by_one(self, item: Item, error: Exception) -> list[dict[str, ModelResult | Exception]]:
        """Asks the models one by one about an image that failed when all were asked together."""
        if len(item.models) == 1:
            return [{item.models[0]: error}]
        results: dict[str, ModelResult | Exception] = {}
        for name in item.models:
            mapped = item.mapped if item.mapped == name else None
            results |= self._isolating([replace(item, models=(name,), mapped=mapped)])[0]
        return [results]

    @torch.inference_mode()
    def _infer(self, items: Sequence[Item]) -> list[dict[str, ModelResult | Exception]]:
        """What models that share an encoder say of images and pairs, each image encoded once."""
        pairs = [item for item in items if len(item.images) > 1]
        needed = Needed(pairs, self.references)
        images = {id(image): image for image in (pair.images[0] for pair in pairs)}
        images |= {id(image): image for image in needed.fresh}
        images |= {id(item.images[0]): item.images[0] for item in items}
        encoded = self._encoded(self._slots[items[0].models[0]].network.encoder, list(images.values()))
        results: list[dict[str, ModelResult | Exception]] = [{} for _ in items]
        for name in dict.fromkeys(name for item in items for name in item.models):
            places = [place for place, item in enumerate(items) if name in item.models]
            asked = [items[place] for place in places]
            slot = self._slots[name]
            if name == FULL_REFERENCE:
                embeddings, maps = self._related(slot.network, asked, needed, encoded)
            else:
                embeddings, maps = self._embedded(slot, asked, encoded)
            for place, result in zip(places, self._read_out(slot, asked, embeddings, maps), strict=True):
                results[place][name] = result
        return results

    def _read_out(
        self, slot: _Slot, items: Sequence[Item], embeddings: Tensor, maps: Sequence[_Map | None]
    ) -> list[ModelResult]:
        output = slot.network.read_out(embeddings)
        probabilities = pair_probabilities(output.similarities, slot.metadata.temperature)
        scores, similarities = output.score.tolist(), output.similarities.tolist()
        if not np.isfinite(scores).all() or not np.isfinite(similarities).all():
            raise ArithmeticError(f"{slot.card.name} gave a score that is not a finite number.")
        if not all(np.isfinite(local).all() for local in maps if local is not None):
            raise ArithmeticError(f"{slot.card.name} gave a quality map with a value that is not finite.")
        rows = zip(
            items,
            scores,
            similarities,
            probabilities.tolist(),
            dimension_scores(probabilities).tolist(),
            output.prompt_probabilities.tolist()
            if isinstance(output, QualiCLIPOutput)
            else [()] * len(items),
            embeddings,
            maps,
            strict=True,
        )
        return [
            ModelResult(
                score=min(1.0, max(0.0, score)),  # rounding may step over by an ulp
                dimensions=tuple(dimensions),
                similarities=tuple(cosines),
                probabilities=tuple(chances),
                prompt_probabilities=tuple(prompts),
                words=self._compared_words(slot, embedding, item.words),
                width=item.images[0].shape[1],
                height=item.images[0].shape[0],
                quality_map=local,
            )
            for item, score, cosines, chances, dimensions, prompts, embedding, local in rows
        ]

    def _encoded(self, encoder: ImageEncoder, images: Sequence[Pixels]) -> Encoded:
        """Images of any sizes through the encoder, in one tensor."""
        batch, extents = pack(images, encoder.multiple)
        maps = encoder(self._moved(batch), extents)
        useful = sum(image.size // 3 for image in images)
        self.tally = Tally(self.tally.useful + useful, self.tally.padded + extents.padded_pixels)
        return Encoded(maps, extents, {id(image): row for row, image in enumerate(images)})

    def _embedded(
        self, slot: _Slot, items: Sequence[Item], encoded: Encoded
    ) -> tuple[Tensor, list[_Map | None]]:
        """Embeddings of single images, and local quality of those that ask for it."""
        features, _ = encoded.of([item.images[0] for item in items])
        mapped = [row for row, item in enumerate(items) if item.mapped == slot.card.name]
        embeddings, maps = slot.network.embed_and_map(features, mapped)
        found = {row: tuple(map(tuple, local.tolist())) for row, local in zip(mapped, maps, strict=True)}
        return embeddings, [found.get(row) for row in range(len(items))]

    def _related(
        self, network: InferenceModel, items: Sequence[Item], needed: Needed, encoded: Encoded
    ) -> tuple[Tensor, list[_Map | None]]:
        """Embeddings of pairs; references that are known already are not encoded again."""
        distorted, pairs = encoded.of([item.images[0] for item in items])
        if needed.fresh:
            fresh = encoded.of(needed.fresh)[0].levels
        else:
            fresh = tuple(values[:0] for values in distorted.levels)
        embeddings = network.relate(distorted, needed.lay(fresh, pairs))
        needed.keep(fresh, pairs)
        return embeddings, [None] * len(items)

    def _compared_words(
        self, slot: _Slot, embedding: Tensor, words: tuple[str, ...]
    ) -> tuple[float, ...] | None:
        model = slot.network.model
        if not words or not isinstance(model, QualiCLIP) or not model.has_text_encoder:
            return None
        return tuple((self._word_features(slot.card.name, words) @ embedding).tolist())

    def _encode_words(self, name: str, words: tuple[str, ...]) -> Tensor:
        model = self._slots[name].network.model
        assert isinstance(model, QualiCLIP)
        return model.encode_words(words)

    def _moved(self, batch: Tensor) -> Tensor:
        """A packed batch on the device; eight-bit pixels travel, a quarter of the floats they become."""
        if self.device.type != "cuda":
            return batch
        return batch.pin_memory().to(self.device, non_blocking=True)

    def _placed(self, loaded: LoadedModel, dtype: torch.dtype, encoders: _Encoders) -> _Slot:
        card = _card(loaded, dtype)
        preprocessing = loaded.metadata.preprocessing
        shared = (encoder_digest(loaded.module), preprocessing, dtype)
        network = InferenceModel(loaded.module, preprocessing, dtype, encoders.get(shared))
        encoders[shared] = network.encoder
        return _Slot(network.to(self.device), loaded.metadata, card)


def _card(loaded: LoadedModel, dtype: torch.dtype) -> ModelCard:
    metadata = loaded.metadata
    return ModelCard(
        name=loaded.name,
        weights=loaded.weights_name,
        sha256=loaded.sha256,
        license=metadata.license,
        source=metadata.source,
        training_data=metadata.training_data,
        accuracy=metadata.accuracy,
        validated_sides=metadata.validated_sides,
        text_encoder=isinstance(loaded.module, QualiCLIP) and loaded.module.has_text_encoder,
        prompt_pairs=loaded.module.prompt_pairs if isinstance(loaded.module, QualiCLIP) else (),
        temperature=metadata.temperature,
        preprocessing=metadata.preprocessing,
        parameters=loaded.parameters,
        dtype=dtype_name(dtype),
        calibration=metadata.calibration,
    )
