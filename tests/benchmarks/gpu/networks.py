"""The no-reference models on a device without the engine around them, and batches of photographs for them."""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import torch
from PIL import Image

from app.settings import Settings
from models.loading import load_model
from models.preprocessing import Pixels
from models.runtime.eager import EagerBackend, EagerEncoder, EncodedRow, InferenceModel
from tests.benchmarks.traces import BLOCK, make

Batch = Sequence[Pixels]
Encode = Callable[[Batch], Sequence[EncodedRow]]

_MIXED: Final = 8  # images


@dataclass(frozen=True)
class Group:
    """Models that share an encoder.

    Attributes:
        encoder: theirs.
        models: with the same input.
        fit: brings an image to the size that they score.
        encode: what encodes images for them; the encoder's own method, or what is tried in its place.
    """

    encoder: EagerEncoder
    models: tuple[InferenceModel, ...]
    fit: Callable[[Pixels], Pixels]
    encode: Encode

    def heads(self, rows: Sequence[EncodedRow]) -> list[float]:
        """The scores of each model in turn."""
        words = [()] * len(rows)
        return [said.score for model in self.models for said in model.score(rows, words, ())]

    def encoding(self, encode: Encode) -> "Group":
        """The same models behind something that encodes in another way."""
        return replace(self, encode=encode)


Groups = Sequence[Group]
Run = Callable[[Sequence[Batch]], list[float]]
"""Scores batches one after another; the scores of all of them."""


def groups_on(device: str, dtype: str, settings: Settings) -> list[Group]:
    """The no-reference models of the settings, by the encoder that they share.

    Args:
        device: "cpu" or a CUDA device.
        dtype: as of the engine.
        settings: of the service, for weights and sizes.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    backend = EagerBackend(device, dtype)
    shared: dict[int, list[InferenceModel]] = {}
    fits: dict[int, Callable[[Pixels], Pixels]] = {}
    for name in settings.models:
        loaded = load_model(name, settings.sources()[name], allow_untrained=settings.allow_untrained)
        preprocessing = loaded.metadata.preprocessing
        model = backend.place(loaded, backend.dtype)
        shared.setdefault(id(model.encoder), []).append(model)
        fits[id(model.encoder)] = partial(preprocessing.fit, max_pixels=settings.max_scored_pixels)
    return [
        Group(models[0].encoder, tuple(models), fits[key], models[0].encoder.encode)
        for key, models in shared.items()
    ]


def plainly(groups: Groups) -> Run:
    """As the engine does it: each batch is brought to the device, encoded and read before the next one."""

    def run(batches: Sequence[Batch]) -> list[float]:
        return [
            score
            for batch in batches
            for group in groups
            for score in group.heads(group.encode([group.fit(pixels) for pixels in batch]))
        ]

    return run


def timed(run: Run, batches: Sequence[Batch], seconds: float) -> float:
    """Seconds of one pass over the batches: the mean of as many passes as fit, at least one.

    Scores are read on the CPU, so the device has finished when a pass returns.
    """
    passes, began = 0, time.perf_counter()
    while True:
        run(batches)
        passes += 1
        taken = time.perf_counter() - began
        if taken * (passes + 1) / passes > seconds:
            return taken / passes


def photographs_of(size: str, count: int) -> list[Pixels]:
    """So many photographs of a size such as ``512x384``; different ones as far as a block has them."""
    block = [_decoded(upload.data) for upload in make(size, blocks=1)]
    return [block[number % BLOCK] for number in range(count)]


def mixed_photographs(side: int) -> list[Pixels]:
    """Photographs of different sizes, as they are met on web pages.

    Args:
        side: longest side of each, in pixels.
    """
    found = []
    for upload in make("mixed", blocks=1):
        if upload.kind == "web" and len(found) < _MIXED:
            with Image.open(io.BytesIO(upload.data)) as image:
                image.thumbnail((side, side))
                found.append(np.asarray(image.convert("RGB")))
    return found


def workloads(sizes: Sequence[str]) -> dict[str, Callable[[], Sequence[Batch]]]:
    """What candidates are measured on, by name.

    Args:
        sizes: of images, the largest last.
    """
    lone = {f"1 of {size}": partial(_alone, size) for size in sizes}
    large = sizes[-1]
    return {
        **lone,
        f"2 times 16 of {large}": lambda: [photographs_of(large, 16)] * 2,
        f"2 times {_MIXED} of mixed sizes": lambda: [mixed_photographs(int(large.partition("x")[0]))] * 2,
    }


def _alone(size: str) -> Sequence[Batch]:
    return [photographs_of(size, 1)]


def memory_mib(device: str) -> float | None:
    """The most memory that torch has had for tensors of a CUDA device since :func:`forget_memory`."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.startswith("cuda") else None


def forget_memory(device: str) -> None:
    """Begins to watch the memory of a CUDA device."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def _decoded(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
