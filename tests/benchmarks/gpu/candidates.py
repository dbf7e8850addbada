"""What might make the device faster, one by one, with and without: measured before any of it is built in.

Each candidate scores the same photographs as the models as they are (eager, channels-last, the precision of
the settings), by turns, and the scores are compared.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch

from app.settings import Settings, read_settings
from models.ragged import Extents, pack
from models.runtime.eager import EagerEncoder, EncodedRow
from tests.benchmarks.gpu import networks
from tests.benchmarks.gpu.networks import Batch, Group, Groups, Run
from tests.benchmarks.gpu.parts import Findings, Setup, reason_of
from tests.benchmarks.gpu.size_buckets import BucketEncoder, DeviceEncoder


@dataclass(frozen=True)
class Candidate:
    """Something to try.

    Attributes:
        name: of it.
        make: makes it of a device and settings.
        needs_cuda: whether it is nothing, or takes minutes, without a CUDA device.
    """

    name: str
    make: Callable[[str, Settings], Run]
    needs_cuda: bool = False


def measurements(sizes: Sequence[str], *, cuda: bool) -> tuple[str, ...]:
    """What :func:`measure` yields, or leaves out for want of a CUDA device.

    Args:
        sizes: of images.
        cuda: whether what needs such a device is meant; otherwise all of it.
    """
    return tuple(
        f"{candidate.name}: {work}"
        for candidate in CANDIDATES
        if candidate.needs_cuda or not cuda
        for work in networks.workloads(sizes)
    )


def measure(setup: Setup) -> Findings:
    """For each candidate and workload: milliseconds without and with, and how far scores are apart."""
    settings = read_settings()
    plain = networks.plainly(networks.groups_on(setup.device, settings.dtype, settings))
    work = {name: make() for name, make in networks.workloads(setup.images).items()}
    for candidate in CANDIDATES:
        if candidate.needs_cuda and not setup.cuda:
            continue
        run: Run | None = None
        for name, batches in work.items():
            try:
                run = run or candidate.make(setup.device, settings)
                figures = _compared(plain, run, batches, setup)
            except Exception as error:  # of a compiler or a driver
                figures = {"failed": reason_of(error)}
            yield f"{candidate.name}: {name}", figures


def _compared(plain: Run, run: Run, batches: Sequence[Batch], setup: Setup) -> dict[str, Any]:
    # The first pass of each size is slower, and so is a compiler's.
    apart = max(abs(one - other) for one, other in zip(run(batches), plain(batches), strict=True))
    each = setup.seconds / (4 * setup.rounds)
    without, with_it = [], []
    for _ in range(setup.rounds):
        without.append(networks.timed(plain, batches, each))
        with_it.append(networks.timed(run, batches, each))
    return {
        "without_ms": 1000 * statistics.median(without),
        "with_ms": 1000 * statistics.median(with_it),
        "ratio": statistics.median(b / a for a, b in zip(without, with_it, strict=True)),
        "scores_apart": apart,
    }


def _in_dtype(dtype: str) -> Callable[[str, Settings], Run]:
    def make(device: str, settings: Settings) -> Run:
        return networks.plainly(networks.groups_on(device, dtype, settings))

    return make


def _contiguous_in(dtype: str) -> Callable[[str, Settings], Run]:
    """Tensors in the order of their axes; as they are, channels come last."""

    def make(device: str, settings: Settings) -> Run:
        groups = networks.groups_on(device, dtype or settings.dtype, settings)
        return networks.plainly([group.encoding(contiguous_encoder(group.encoder)) for group in groups])

    return make


def contiguous_encoder(encoder: EagerEncoder) -> networks.Encode:
    """`encoder`, which is changed, with weights and pixels in the order of their axes."""
    encoder.to(memory_format=torch.contiguous_format)

    @torch.inference_mode()
    def encode(images: Batch) -> list[EncodedRow]:
        pixels, extents = pack(images, encoder.multiple)
        pixels = pixels.contiguous()
        if encoder.mean.is_cuda:
            pixels = pixels.pin_memory().to(encoder.mean.device, non_blocking=True)
        maps = encoder(pixels, extents)
        return [EncodedRow(maps, row) for row in range(len(images))]

    return encode


def _graphs(device: str, settings: Settings) -> Run:
    groups = networks.groups_on(device, settings.dtype, settings)
    return networks.plainly([group.encoding(BucketEncoder(group.encoder).encode) for group in groups])


def _compiled(device: str, settings: Settings) -> Run:
    groups = networks.groups_on(device, settings.dtype, settings)
    encoders = [
        DeviceEncoder(group.encoder, partial(torch.compile, dynamic=True, fullgraph=True)) for group in groups
    ]
    return networks.plainly(
        [group.encoding(encoder.encode) for group, encoder in zip(groups, encoders, strict=True)]
    )


def _double_buffered(device: str, settings: Settings) -> Run:
    """While the device encodes a batch, the next one is packed and travels."""
    groups = networks.groups_on(device, settings.dtype, settings)
    uploads = [_Uploads(group) for group in groups]
    return lambda batches: _overlapped(groups, uploads, batches)


class _Uploads:
    """Two pinned buffers by turns, and the stream on which pixels travel to the device."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._stream = torch.cuda.Stream(group.encoder.mean.device)
        self._buffers = [torch.empty(0, dtype=torch.uint8).pin_memory() for _ in range(2)]
        self._copied = [torch.cuda.Event() for _ in range(2)]
        self._turn = 0

    def begin(self, batch: Batch) -> tuple[torch.Tensor, Extents, "torch.cuda.Event"]:
        """Sends a batch on its way; its pixels may be read after the event."""
        self._turn = 1 - self._turn
        pixels, extents = pack([self._group.fit(image) for image in batch], self._group.encoder.multiple)
        laid = pixels.permute(0, 2, 3, 1)  # as they lie in memory
        copied = self._copied[self._turn]
        copied.synchronize()  # what this buffer held before has left it
        if self._buffers[self._turn].numel() < laid.numel():
            self._buffers[self._turn] = torch.empty(laid.numel(), dtype=torch.uint8).pin_memory()
        buffer = self._buffers[self._turn][: laid.numel()].view(laid.shape)
        buffer.copy_(laid)
        with torch.cuda.stream(self._stream):
            sent = buffer.to(self._group.encoder.mean.device, non_blocking=True).permute(0, 3, 1, 2)
            copied.record(self._stream)
        return sent, extents, copied


@torch.inference_mode()
def _overlapped(groups: Groups, uploads: Sequence[_Uploads], batches: Sequence[Batch]) -> list[float]:
    coming = [upload.begin(batches[0]) for upload in uploads]
    scores: list[float] = []
    for number in range(len(batches)):
        encoded = []
        for group, (pixels, extents, copied) in zip(groups, coming, strict=True):
            stream = torch.cuda.current_stream(pixels.device)
            stream.wait_event(copied)
            pixels.record_stream(stream)
            maps = group.encoder(pixels, extents)  # begun, not awaited
            encoded.append([EncodedRow(maps, row) for row in range(len(extents.sizes))])
        if number + 1 < len(batches):
            coming = [upload.begin(batches[number + 1]) for upload in uploads]
        for group, rows in zip(groups, encoded, strict=True):
            scores += group.heads(rows)
    return scores


CANDIDATES: Final = (
    Candidate("CUDA graphs by size bucket", _graphs, needs_cuda=True),
    Candidate("pinned double buffering", _double_buffered, needs_cuda=True),
    Candidate("float16", _in_dtype("float16"), needs_cuda=True),
    Candidate("not channels-last", _contiguous_in("")),
    Candidate("not channels-last, float16", _contiguous_in("float16"), needs_cuda=True),
    Candidate("torch.compile", _compiled, needs_cuda=True),
)
