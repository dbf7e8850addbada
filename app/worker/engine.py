"""The models on a device. Nothing else touches one.

The inference process and the command line use the same class, so both give the same numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.worker.tasks import (
    FULL_REFERENCE,
    CompareResult,
    CompareTask,
    ModelCard,
    ModelResult,
    ScoreResult,
    ScoreTask,
)
from models import signal
from models.adjectives import dimension_scores, pair_probabilities
from models.loading import LoadedModel, load_model
from models.qualiclip import QualiCLIP
from models.weights import ModelName

__all__ = [
    "CompareResult",
    "CompareTask",
    "DeviceUnavailable",
    "Engine",
    "ModelCard",
    "ModelResult",
    "ScoreResult",
    "ScoreTask",
    "resolve_device",
]

Pixels = NDArray[np.uint8]

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_WORDS_CACHED: Final = 256  # lists of words whose features are kept


class DeviceUnavailable(Exception):
    """The device, or the precision on it, cannot be had; the message is one sentence for who asked for it."""


@dataclass(frozen=True)
class _Read:
    """What a network gives for a batch of ``B``: float32 on the CPU."""

    scores: Tensor  # (B,)
    similarities: Tensor  # (B, 40)
    prompt_probabilities: Tensor  # (B, 7) or (B, 0)
    words: Tensor | None  # (B, n)


class Engine:
    """Loaded models on one device.

    Args:
        sources: weights by model: "bundled", "official" or a path for each of qualiclip, bpclip, bpclip-fr
            that is to be loaded.
        device: "auto" (the first CUDA device, else the CPU), "cpu", "cuda" or "cuda:N".
        dtype: "float32", "bfloat16", "float16" (by autocast), or "auto": float32.
        max_scored_pixels: what larger images are scaled down to.
        batch_pixels: most pixels stacked into one tensor.
        qualiclip_sha256: what QualiCLIP's official checkpoint must hash to; None for the first download's.

    Raises:
        WeightsError: weights cannot be used; the message is one sentence.
        DeviceUnavailable: likewise for the device.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        device: str = "auto",
        dtype: str = "auto",
        max_scored_pixels: int = 2 * 2**20,
        batch_pixels: int = 4 * 2**20,
        qualiclip_sha256: str | None = None,
    ) -> None:
        self.device = resolve_device(device)
        # float32 everywhere until half precision has been held against the contract's bounds.
        self.dtype = _DTYPES["float32" if dtype == "auto" else dtype]
        self.max_scored_pixels = max_scored_pixels
        self._batch_pixels = batch_pixels
        self._loaded = {
            # Only "official" is held to the pin.
            name: load_model(cast(ModelName, name), source, sha256=qualiclip_sha256)
            for name, source in sources.items()
        }
        for loaded in self._loaded.values():
            loaded.module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.device.type == "cuda":
            # With TF32 a float32 score would depend on its batch by more than the contract allows.
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cudnn.benchmark = False  # it would time every new size
        self._word_features = lru_cache(_WORDS_CACHED)(self._encode_words)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the loaded no-reference models."""
        return tuple(name for name in self._loaded if name != FULL_REFERENCE)

    @property
    def dtype_name(self) -> str:
        """The precision of inference: float32, bfloat16 or float16."""
        return str(self.dtype).removeprefix("torch.")

    def cards(self) -> tuple[ModelCard, ...]:
        """What is loaded."""
        return tuple(_card(loaded) for loaded in self._loaded.values())

    def score(self, tasks: Sequence[ScoreTask]) -> list[ScoreResult | Exception]:
        """Scores images without a reference; a task that fails gets its exception as result.

        Images of one scored size share a batch; a result does not depend on what it shared it with.
        """
        found: list[dict[str, ModelResult | Exception]] = [{} for _ in tasks]
        for name in self.models:
            loaded = self._loaded[name]
            asked = [index for index, task in enumerate(tasks) if name in task.models]
            words = [tasks[index].words for index in asked]
            inputs = [(self._fit(loaded, tasks[index].pixels),) for index in asked]
            for index, result in zip(asked, self._infer(loaded, inputs, words), strict=True):
                found[index][name] = result
        return [_gathered(task, results) for task, results in zip(tasks, found, strict=True)]

    def compare(self, tasks: Sequence[CompareTask]) -> list[CompareResult | Exception]:
        """Holds distorted images against their references; a task that fails gets its exception as result."""
        loaded = self._loaded.get(FULL_REFERENCE)
        if loaded is None:
            raise ValueError(f"No weights of {FULL_REFERENCE} are loaded.")
        inputs = [(self._fit(loaded, task.distorted), self._fit(loaded, task.reference)) for task in tasks]
        pairs = self._infer(loaded, inputs, [()] * len(tasks))
        # References and distorted images of one size share a batch.
        both = self.score(
            [ScoreTask(task.reference, task.models, task.words) for task in tasks]
            + [ScoreTask(task.distorted, task.models, task.words) for task in tasks]
        )
        references, distorted = both[: len(tasks)], both[len(tasks) :]
        return list(map(_compared, tasks, pairs, references, distorted))

    def _infer(
        self, loaded: LoadedModel, inputs: Sequence[tuple[Pixels, ...]], words: Sequence[tuple[str, ...]]
    ) -> list[ModelResult | Exception]:
        """One model's results of fitted images ``(distorted,)`` or pairs ``(distorted, reference)``."""
        results: dict[int, ModelResult | Exception] = {}
        by_kind: dict[tuple[object, ...], list[int]] = {}
        for index, images in enumerate(inputs):
            by_kind.setdefault((*(image.shape for image in images), words[index]), []).append(index)
        for kind in by_kind.values():
            size = max(1, self._batch_pixels // (inputs[kind[0]][0].size // 3))
            for start in range(0, len(kind), size):
                group = kind[start : start + size]
                batch = [inputs[index] for index in group]
                results.update(zip(group, self._isolate(loaded, batch, words[group[0]]), strict=True))
        return [results[index] for index in range(len(inputs))]

    def _isolate(
        self, loaded: LoadedModel, batch: Sequence[tuple[Pixels, ...]], words: tuple[str, ...]
    ) -> list[ModelResult | Exception]:
        """Runs a batch; if it fails, each of its members alone, so that only the culprit pays."""
        try:
            return list(self._run(loaded, batch, words))
        except Exception as error:
            if len(batch) == 1:
                return [error]
            return [result for member in batch for result in self._isolate(loaded, [member], words)]

    @torch.inference_mode()
    def _run(
        self, loaded: LoadedModel, batch: Sequence[tuple[Pixels, ...]], words: tuple[str, ...]
    ) -> Iterable[ModelResult]:
        preprocessing = loaded.metadata.preprocessing
        images = [
            torch.cat([preprocessing.tensor(pixels) for pixels in column]).to(
                self.device, memory_format=torch.channels_last
            )
            for column in zip(*batch, strict=True)
        ]
        read = self._forward(loaded, images, words)
        if not (torch.isfinite(read.scores).all() and torch.isfinite(read.similarities).all()):
            raise ArithmeticError(f"{loaded.name} gave a score that is not a finite number.")
        probabilities = pair_probabilities(read.similarities, loaded.metadata.temperature)
        dimensions = dimension_scores(probabilities)
        height, width = batch[0][0].shape[:2]
        return [
            ModelResult(
                score=min(1.0, max(0.0, float(read.scores[row]))),  # rounding may step over by an ulp
                dimensions=_floats(dimensions[row]),
                similarities=_floats(read.similarities[row]),
                probabilities=_floats(probabilities[row]),
                prompt_probabilities=_floats(read.prompt_probabilities[row]),
                words=None if read.words is None else _floats(read.words[row]),
                width=width,
                height=height,
            )
            for row in range(len(batch))
        ]

    def _forward(self, loaded: LoadedModel, images: Sequence[Tensor], words: tuple[str, ...]) -> _Read:
        module, word_cosines = loaded.module, None
        half = self.dtype != torch.float32
        if isinstance(module, QualiCLIP):
            with torch.autocast(self.device.type, self.dtype, enabled=half):
                embeddings = module.embed(images[0])
            # Out of autocast, so that cosines and scores are float32; one pass of the encoder serves all.
            output = module.compare(embeddings)
            prompts = output.prompt_probabilities
            if words and module.has_text_encoder:
                word_cosines = (embeddings @ self._word_features(loaded.name, words).T).float().cpu()
            score, similarities = output.score, output.similarities
        else:
            with torch.autocast(self.device.type, self.dtype, enabled=half):
                rated = module(*images)
            score, similarities = rated.score, rated.similarities
            prompts = similarities.new_empty((len(similarities), 0))
        return _Read(score.float().cpu(), similarities.float().cpu(), prompts.float().cpu(), word_cosines)

    def _encode_words(self, name: str, words: tuple[str, ...]) -> Tensor:
        module = self._loaded[name].module
        assert isinstance(module, QualiCLIP)
        return module.encode_words(words)

    def _fit(self, loaded: LoadedModel, pixels: Pixels) -> Pixels:
        return loaded.metadata.preprocessing.fit(pixels, self.max_scored_pixels)


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


def _card(loaded: LoadedModel) -> ModelCard:
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
    )


def _gathered(task: ScoreTask, found: Mapping[str, ModelResult | Exception]) -> ScoreResult | Exception:
    """The results in the order asked for, or the first failure among them."""
    results = {}
    for name in task.models:
        result = found.get(name, ValueError(f"{name} is not loaded."))
        if isinstance(result, Exception):
            return result
        results[name] = result
    return ScoreResult(results)


def _compared(
    task: CompareTask,
    pair: ModelResult | Exception,
    reference: ScoreResult | Exception,
    distorted: ScoreResult | Exception,
) -> CompareResult | Exception:
    if isinstance(pair, Exception):
        return pair
    if isinstance(reference, Exception):
        return reference
    if isinstance(distorted, Exception):
        return distorted
    measured = signal.measure(task.reference, task.distorted) if task.signal else None
    return CompareResult(pair, reference, distorted, measured)


def _floats(values: Tensor) -> tuple[float, ...]:
    return tuple(values.tolist())
