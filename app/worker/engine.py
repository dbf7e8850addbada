"""The models on a device. Nothing else touches one.

The inference process and the command line use the same class, so both give the same numbers.
"""

import logging
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.worker import canary
from app.worker.tasks import (
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
from models import signal
from models.adjectives import dimension_scores, pair_probabilities
from models.inference import InferenceModel
from models.loading import LoadedModel, load_model
from models.qualiclip import QualiCLIP, QualiCLIPOutput
from models.ragged import pack
from models.weights import Metadata, ModelName

Pixels = NDArray[np.uint8]

_log = logging.getLogger("iqa.engine")

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PAIR: Final = "pair"
_REFERENCE: Final = "reference"
_DISTORTED: Final = "distorted"  # also the only image of a task without a reference
_WORDS_CACHED: Final = 256  # lists of words whose features are kept
# Over all models. Measured on two cores: up to here an image in a batch costs less than alone, a thumbnail a
# fifth; beyond, activations leave the cache and it costs more again.
_CPU_BATCH_PIXELS: Final = 1024 * 768
_CUDA_BATCH_PIXELS: Final = 16 * 2**20


class DeviceUnavailable(Exception):
    """The device, or the precision on it, cannot be had; the message is one sentence for who asked for it."""


class OutOfMemory(Exception):
    """The device has no memory for the batch as a whole; nothing of it was done."""


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


@dataclass(frozen=True)
class _Item:
    """One image or pair for one model.

    Attributes:
        place: of the result: the task's number, and which of its images.
        images: ``(H, W, 3)`` uint8 at the size that the model scores: the image, or distorted and reference.
        words: beyond the 40.
    """

    place: tuple[int, str]
    images: tuple[Pixels, ...]
    words: tuple[str, ...] = ()


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
    ) -> None:
        self.device = resolve_device(device)
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
        self.expected: dict[str, float] = {}  # the canary's score by each model, as its plain modules give it
        # Only "official" is held to the pin.
        load = partial(load_model, sha256=qualiclip_sha256, allow_untrained=allow_untrained)
        for name, source in sources.items():
            loaded = load(cast(ModelName, name), source)
            self.expected[name] = canary.reference_score(loaded)
            self._slots[name] = self._placed(loaded, wanted)
            if dtype == "auto" and wanted != torch.float32 and not canary.agrees(self, name):
                _log.warning(
                    "%s is too coarse in %s for its weights; it runs in float32", name, _name(wanted)
                )
                self._slots[name] = self._placed(load(cast(ModelName, name), source), torch.float32)
        self._word_features = lru_cache(_WORDS_CACHED)(self._encode_words)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the loaded no-reference models."""
        return tuple(name for name in self._slots if name != FULL_REFERENCE)

    @property
    def dtype_name(self) -> str:
        """The precision of inference: float32, bfloat16 or float16; of several, the lowest that is used."""
        return min((card.dtype for card in self.cards()), key=lambda name: _DTYPES[name].itemsize)

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
        decide (:mod:`app.scheduling`).

        Raises:
            ValueError: a pair is to be compared, and no full-reference weights are loaded.
            OutOfMemory: the device has no memory for all of them at once.
        """
        if FULL_REFERENCE not in self._slots and any(isinstance(task, CompareTask) for task in tasks):
            raise ValueError(f"No weights of {FULL_REFERENCE} are loaded.")
        found: dict[tuple[int, str], dict[str, ModelResult | Exception]] = {}
        for name, slot in self._slots.items():
            items = [item for number, task in enumerate(tasks) for item in self._items(number, task, name)]
            for item, result in zip(items, self._isolating(slot, items), strict=True):
                found.setdefault(item.place, {})[name] = result
        return [_gathered(number, task, found) for number, task in enumerate(tasks)]

    def _items(self, number: int, task: Task, name: str) -> list[_Item]:
        """What a task asks of one model."""

        def fitted(pixels: Pixels) -> Pixels:
            return self._slots[name].metadata.preprocessing.fit(pixels, self.max_scored_pixels)

        if name == FULL_REFERENCE:
            if isinstance(task, ScoreTask):
                return []
            return [_Item((number, _PAIR), (fitted(task.distorted), fitted(task.reference)))]
        if name not in task.models:
            return []
        if isinstance(task, ScoreTask):
            return [_Item((number, _DISTORTED), (fitted(task.pixels),), task.words)]
        both = {_REFERENCE: task.reference, _DISTORTED: task.distorted}
        return [_Item((number, which), (fitted(pixels),), task.words) for which, pixels in both.items()]

    def _isolating(self, slot: _Slot, items: Sequence[_Item]) -> list[ModelResult | Exception]:
        """Runs a batch; if it fails, each of its halves, so that in the end only the culprit pays."""
        if not items:
            return []
        try:
            return list(self._infer(slot, items))
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(f"The device has no memory for {len(items)} images at once.") from error
        except Exception as error:
            if _is_cpu_out_of_memory(error):
                raise OutOfMemory(f"There is no memory for {len(items)} images at once.") from error
            if len(items) == 1:
                return [error]
            middle = len(items) // 2
            return [*self._isolating(slot, items[:middle]), *self._isolating(slot, items[middle:])]

    @torch.inference_mode()
    def _infer(self, slot: _Slot, items: Sequence[_Item]) -> list[ModelResult]:
        network = slot.network
        packed = [
            pack(column, network.multiple) for column in zip(*(item.images for item in items), strict=True)
        ]
        extents = packed[0][1]
        embeddings = network.embed(
            self._moved(packed[0][0]), extents, self._moved(packed[1][0]) if len(packed) > 1 else None
        )
        output = network.read_out(embeddings)
        times = len(packed)
        self.tally = Tally(
            self.tally.useful + times * sum(item.images[0].size // 3 for item in items),
            self.tally.padded + times * extents.padded_pixels,
        )
        probabilities = pair_probabilities(output.similarities, slot.metadata.temperature)
        scores, similarities = output.score.tolist(), output.similarities.tolist()
        if not np.isfinite(scores).all() or not np.isfinite(similarities).all():
            raise ArithmeticError(f"{slot.card.name} gave a score that is not a finite number.")
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
            )
            for item, score, cosines, chances, dimensions, prompts, embedding in rows
        ]

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

    def _placed(self, loaded: LoadedModel, dtype: torch.dtype) -> _Slot:
        card = _card(loaded, dtype)
        network = InferenceModel(loaded.module, loaded.metadata.preprocessing, dtype)
        return _Slot(network.to(self.device), loaded.metadata, card)


def resolve_device(name: str) -> torch.device:
    """The torch device of a setting.

    Raises:
        DeviceUnavailable: torch sees no such device.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceUnavailable(f"{name} is not a device that torch knows.") from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise DeviceUnavailable(f"{name} was asked for, but torch sees {count} CUDA devices.")
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision of a setting; "auto" is bfloat16 where the device has it in hardware, else float32."""
    if name != "auto":
        return _DTYPES[name]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = _cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; elsewhere it would be slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in (" avx512_bf16", " amx_bf16"))


def _is_cpu_out_of_memory(error: Exception) -> bool:
    # torch has no class of its own for it on a CPU.
    return isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


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
        dtype=_name(dtype),
    )


_Found = Mapping[tuple[int, str], Mapping[str, ModelResult | Exception]]


def _gathered(number: int, task: Task, found: _Found) -> Result | Exception:
    """A task's results in the order asked for, or the first failure among them."""
    try:
        distorted = _chosen(task.models, found.get((number, _DISTORTED), {}))
        if isinstance(task, ScoreTask):
            return distorted
        reference = _chosen(task.models, found.get((number, _REFERENCE), {}))
        (pair,) = _chosen((FULL_REFERENCE,), found[number, _PAIR]).models.values()
        measured = signal.measure(task.reference, task.distorted) if task.signal else None
        return CompareResult(pair, reference, distorted, measured)
    except Exception as error:
        return error


def _chosen(models: Sequence[str], found: Mapping[str, ModelResult | Exception]) -> ScoreResult:
    results = {}
    for name in models:
        result = found.get(name, ValueError(f"{name} is not loaded."))
        if isinstance(result, Exception):
            raise result
        results[name] = result
    return ScoreResult(results)
