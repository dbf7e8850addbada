"""Encoding in tensors of few sizes, whose images may be of any size: what CUDA graphs and compilers ask for.

A CUDA graph repeats its kernels on the same memory. So the number of images and the sides of the tensor are
rounded up to buckets, and what is image lies in two tensors on the device (:class:`DeviceExtents`), from
which the masks are computed within the graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import torch
from torch import Tensor

from models.backbones.feature_maps import FeatureMaps
from models.ragged import Extents, Shape, pack
from models.runtime.eager import EagerEncoder, EncodedRow
from tests.benchmarks.gpu.networks import Batch

_SIDES: Final = 128  # pixels that sides are rounded up to
_WARM_UP: Final = 3  # passes before a capture, as torch asks for

Change = Callable[[int], int]


@dataclass(frozen=True)
class DeviceExtents(Extents):
    """Extents whose sizes are read on the device, and whose number a compiler may leave open.

    Attributes:
        heights: ``(B,)`` int64.
        widths: ``(B,)`` int64.
        path: how sides came about from those of the pixels, step by step.
    """

    heights: Tensor = field(default_factory=lambda: torch.empty(0))
    widths: Tensor = field(default_factory=lambda: torch.empty(0))
    path: tuple[Change, ...] = ()

    @classmethod
    def on_device(cls, padded: Shape, heights: Tensor, widths: Tensor) -> "DeviceExtents":
        """Extents in a tensor of those sides."""
        return cls((), padded, heights=heights, widths=widths)

    @property
    def uniform(self) -> bool:  # type: ignore[override]
        """Never known without waiting for the device."""
        return False

    def clear(self, values: Tensor) -> Tensor:
        return values.mul_(self.mask(values))

    def inside(self, device: torch.device) -> Tensor:
        rows: Tensor = torch.arange(self.padded[0], device=device) < self.heights[:, None]
        columns: Tensor = torch.arange(self.padded[1], device=device) < self.widths[:, None]
        return rows[:, :, None] & columns[:, None, :]

    def _each(self, change: Change) -> "DeviceExtents":
        padded = change(self.padded[0]), change(self.padded[1])
        # The steps are divisions, which tensors of whole numbers know, too.
        heights, widths = change(self.heights), change(self.widths)  # type: ignore[arg-type]
        assert isinstance(heights, Tensor)
        assert isinstance(widths, Tensor)
        return DeviceExtents((), padded, heights=heights, widths=widths, path=(*self.path, change))


class DeviceEncoder:
    """An encoder that takes tensors alone, so that it may be compiled.

    Args:
        encoder: that encodes.
        prepare: makes what is called of what encodes: a compiler.
    """

    def __init__(self, encoder: EagerEncoder, prepare: Callable[[Any], Any] = lambda call: call) -> None:
        self._encoder = encoder
        self._call = prepare(self.levels)
        self._paths: list[tuple[Change, ...]] = []

    def levels(self, pixels: Tensor, heights: Tensor, widths: Tensor) -> tuple[Tensor, ...]:
        """The feature maps of pixels, of which so much is image."""
        padded = pixels.shape[-2], pixels.shape[-1]
        return self._encoder(pixels, DeviceExtents.on_device(padded, heights, widths)).levels

    def paths(self) -> list[tuple[Change, ...]]:
        """How the sides of each level come about, learned from a small image."""
        if not self._paths:
            side = torch.full((1,), _SIDES, device=self._encoder.mean.device)
            pixels = torch.zeros((1, 3, _SIDES, _SIDES), dtype=torch.uint8, device=side.device)
            maps = self._encoder(pixels, DeviceExtents.on_device((_SIDES, _SIDES), side, side))
            self._paths = [extents.path for extents in cast("tuple[DeviceExtents, ...]", maps.extents)]
        return self._paths

    @torch.inference_mode()
    def encode(self, images: Batch) -> list[EncodedRow]:
        """As ``EagerEncoder.encode``."""
        pixels, extents = pack(images, self._encoder.multiple)
        heights, widths = torch.tensor(extents.sizes).T
        device = self._encoder.mean.device
        if device.type == "cuda":
            pixels = pixels.pin_memory().to(device, non_blocking=True)
        levels = self._call(pixels, heights.to(device), widths.to(device))
        maps = FeatureMaps(levels, [applied(path, extents) for path in self.paths()])
        return [EncodedRow(maps, row) for row in range(len(images))]


def applied(path: Sequence[Change], extents: Extents) -> Extents:
    """Extents after the steps of a path."""
    for change in path:
        extents = extents._each(change)
    return extents


class Bucket:
    """Tensors of one size, and on a CUDA device the graph that encodes what lies in them.

    Args:
        encoder: that encodes.
        count: of images.
        padded: height and width of the tensor.
    """

    def __init__(self, encoder: EagerEncoder, count: int, padded: Shape) -> None:
        device = encoder.mean.device
        self._encoder = encoder
        self._pixels = torch.zeros((count, *padded, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
        self._sides = torch.zeros((2, count), dtype=torch.int64, device=device)
        self._padded = padded
        self._graph = _captured(self._pass) if device.type == "cuda" else None
        if self._graph is None:
            self._pass()

    def encode(self, pixels: Tensor, extents: Extents) -> FeatureMaps:
        """The feature maps of a packed batch, valid until the next call.

        Args:
            pixels: ``(B, 3, H, W)`` uint8, no larger than the bucket.
            extents: of the images in it.
        """
        count, _, tall, wide = pixels.shape
        sides = torch.zeros(self._sides.shape, dtype=torch.int64)
        sides[:, :count] = torch.tensor(extents.sizes).T
        self._sides.copy_(sides)
        self._pixels[:count, :, :tall, :wide].copy_(pixels)
        # Pixels of an earlier batch beyond these are not read: normalization clears them.
        if self._graph is None:
            self._pass()
        else:
            self._graph.replay()
        own = Extents(extents.sizes, self._padded)
        return FeatureMaps(
            [values[:count] for values in self._levels], [applied(level.path, own) for level in self._extents]
        )

    def _pass(self) -> None:
        maps = self._encoder(
            self._pixels, DeviceExtents.on_device(self._padded, self._sides[0], self._sides[1])
        )
        self._levels: Sequence[Tensor] = maps.levels
        self._extents = cast("tuple[DeviceExtents, ...]", maps.extents)


class BucketEncoder:
    """An encoder that keeps a :class:`Bucket` for each size that it has met."""

    def __init__(self, encoder: EagerEncoder) -> None:
        self._encoder = encoder
        self._buckets: dict[tuple[int, Shape], Bucket] = {}

    @torch.inference_mode()
    def encode(self, images: Batch) -> list[EncodedRow]:
        """As ``EagerEncoder.encode``; what it gives is valid until the next call."""
        pixels, extents = pack(images, self._encoder.multiple)
        count = 1 << (len(images) - 1).bit_length()
        tall, wide = (-(-side // _SIDES) * _SIDES for side in extents.padded)
        key = count, (tall, wide)
        if key not in self._buckets:
            self._buckets[key] = Bucket(self._encoder, *key)
        if self._encoder.mean.is_cuda:
            pixels = pixels.pin_memory()
        maps = self._buckets[key].encode(pixels, extents)
        return [EncodedRow(maps, row) for row in range(len(images))]


def _captured(work: Callable[[], None]) -> "torch.cuda.CUDAGraph":
    """A graph of the kernels that `work` runs."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph
