"""The runtime on OpenVINO, for CPUs: graphs instead of operations, and images side by side instead of padded.

Images share a tensor only if they have one size and are small, so there is no padding, and mixed sizes cost
nothing. Several tensors go through streams of one thread each, which get more out of cores than one stream of
several threads does; one alone gets all threads. A model that cannot be exported stays in torch
(:mod:`models.runtime.eager`). Of a model whose graphs are there, torch is not even imported.
"""

import logging
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import openvino
from numpy.typing import NDArray

from models.checkpoints.errors import WeightsError
from models.checkpoints.sources import load_file, open_file
from models.loading import LoadedModel, Model, UnbuiltModel, load_model
from models.preprocessing import Pixels, Preprocessing
from models.registry import spec_of
from models.runtime import graphs
from models.runtime.backend import Capabilities, DeviceUnavailable, Executable, Said
from models.runtime.device import cpu_has_bfloat16, memory_for, resident_bytes, usual_threads
from models.runtime.laying import is_one_cell, mirrored_whole, sharing_tensors
from models.runtime.outlines import Numbers

if TYPE_CHECKING:
    from models.runtime.eager import InferenceModel
    from models.runtime.export import Exporter

_Array = NDArray[np.float32]
Compile = Callable[..., openvino.CompiledModel]
"""Gives a graph compiled for a number of streams, ``streams=n``."""

_log = logging.getLogger("iqa.runtime")
_COMPILER: Final = ThreadPoolExecutor(1, "openvino-compiler")
_KERNELS: Final = 128
"""How many kernels, made for one size each, a graph keeps in each stream.

By default it is 5,000, at more than a megabyte for every new size: a worker's memory grew from 0.8 to 1.9 GB
over 300 sizes, without an end. With 128 it settles below 1.5 GB, at 95 % of the throughput of a mixed trace.
"""
_HINTS: Final = {"float32": "f32", "bfloat16": "bf16"}
# There is no padding to fear. A batch is as long as a few images take, since nothing can leave it half-way.
_BATCH_PIXELS: Final = 1024 * 768
# An encoded reference takes 27 bytes a pixel (bundled weights): 20 of 768 x 576.
_REFERENCE_BYTES: Final = 256 * 2**20
_SEVERAL_CELLS: Final = np.zeros((96, 64, 3), np.uint8)
"""What each graph sees first, see :func:`models.runtime.laying.is_one_cell`."""


class Graph:
    """A compiled graph, for images of any size.

    Args:
        compile_for: compiles it.
        threads: that may compute.
    """

    def __init__(self, compile_for: Compile, threads: int) -> None:
        self._compiled = compile_for
        self._threads = threads
        self._alone = self._compiled(streams=1).create_infer_request()
        self._compiling: Future[openvino.AsyncInferQueue] | None = None

    def run(
        self, inputs: Sequence[Sequence[NDArray[Any]]], alone: Collection[int] = ()
    ) -> list[tuple[_Array, ...]]:
        """The outputs for each of several images.

        Args:
            inputs: of each image, with 1 for the first axis.
            alone: images that share no tensor.

        Raises:
            OutOfMemory: there is no memory for them.
        """
        groups = sharing_tensors(inputs, alone)
        found: list[tuple[_Array, ...]] = [()] * len(groups)
        results: list[tuple[_Array, ...]] = [()] * len(inputs)
        with memory_for(len(inputs), "alloc"):
            laid = [
                [np.concatenate(each) for each in zip(*(inputs[row] for row in rows), strict=True)]
                for rows in groups
            ]
            streams = self._streams() if len(laid) > 1 and not any(map(is_one_cell, laid)) else None
            if streams is None:
                for place, values in enumerate(laid):
                    self._alone.infer(values, share_inputs=True)
                    _take(self._alone, (found, place))
            else:
                for place, values in enumerate(laid):
                    streams.start_async(values, (found, place), share_inputs=True)
                streams.wait_all()
        for rows, outputs in zip(groups, found, strict=True):
            for number, row in enumerate(rows):
                results[row] = tuple(values[number : number + 1] for values in outputs)
        return results

    def _streams(self) -> openvino.AsyncInferQueue | None:
        """For images side by side; None as long as they are being compiled; no call waits for that."""
        if self._threads == 1:
            return None
        if self._compiling is None:
            self._compiling = _COMPILER.submit(self._compile_streams)
        return self._compiling.result() if self._compiling.done() else None

    def _compile_streams(self) -> openvino.AsyncInferQueue:
        streams = openvino.AsyncInferQueue(self._compiled(streams=self._threads), self._threads)
        streams.set_callback(_take)
        return streams


@dataclass(frozen=True)
class Maps:
    """One image after the encoder: F1..F5 where needed, ``(1, C_i, h, w)``, and their means."""

    levels: tuple[_Array, ...]
    means: tuple[_Array, ...]

    @property
    def nbytes(self) -> int:
        return sum(values.nbytes for values in (*self.levels, *self.means))

    def kept(self) -> "Maps":
        return self  # nothing was encoded together with it


@dataclass(frozen=True)
class _Source:
    """Where the graphs of a model come from.

    Attributes:
        model: that they are of.
        dtype: of the encoder's computation.
        threads: that may compute.
    """

    model: Model
    dtype: str
    threads: int

    @cached_property
    def exporter(self) -> "Exporter":
        """Traces what is not there."""
        from models.runtime.export import Exporter  # with torch

        return Exporter(self.model)

    def encoder(self, *, maps: bool, means: bool) -> Graph:
        """The graph of the encoder that gives these."""
        facts, preprocessing = self.model.facts, self.model.metadata.preprocessing
        key = encoder_key(facts.encoder, preprocessing, facts.multiple, maps=maps, means=means)
        return self._graph(
            key, lambda: self.exporter.encoder(maps=maps, means=means), self.dtype, facts.encoder_place
        )

    def head(self) -> Graph:
        """The graph behind the encoder, in float32: cosines of antonyms lie close together."""
        key = head_key(self.model.name, self.model.sha256)
        return self._graph(key, lambda: self.exporter.head(), "float32")

    def _graph(self, key: str, trace: Callable[[], openvino.Model], dtype: str, begin: str = "") -> Graph:
        model = self.model
        numbers: Numbers | None = None
        if isinstance(model, UnbuiltModel):
            numbers = partial(tensors_of, model.path, model.name, begin)
        return Graph(partial(_compiled, key, trace, numbers, dtype, self.threads), self.threads)


class OpenVINOEncoder:
    """An encoder's graphs, which models share; see :class:`models.runtime.backend.Encoder`.

    Args:
        multiple: what the sides of its input must be multiples of.
    """

    def __init__(self, multiple: int) -> None:
        self.padded_pixels = 0
        self.multiple = multiple
        self._reads_maps = self._reads_means = self._compares = False
        self._graphs: dict[tuple[bool, bool], Graph] = {}

    def serve(self, source: _Source) -> None:
        """Makes ready what a model reads."""
        if spec_of(source.model.name).full_reference:
            self._compares = True
        elif source.model.facts.reads_means:
            self._reads_means = True
        else:
            self._reads_maps = True
        singles = self._reads_maps or self._reads_means
        for compared in [False] * singles + [True] * self._compares:
            maps, means = wanted = self._wanted(compared)
            if wanted not in self._graphs:
                self._graphs[wanted] = source.encoder(maps=maps, means=means)
                self._graphs[wanted].run([[_SEVERAL_CELLS[None]]])

    def encode(self, images: Sequence[Pixels], *, compared: bool = False) -> list[Maps]:
        graph = self._graphs[self._wanted(compared)]
        laid = [mirrored_whole(image, self.multiple) for image in images]
        self.padded_pixels += sum(image.shape[0] * image.shape[1] for image in laid)
        maps, means = self._wanted(compared)
        found = []
        for values in graph.run([[image[None]] for image in laid]):
            levels = len(values) // (maps + means) if maps else 0
            found.append(Maps(values[:levels], values[levels:]))
        return found

    def _wanted(self, compared: bool) -> tuple[bool, bool]:
        """Whether feature maps are wanted, and whether means are."""
        maps = self._reads_maps or compared
        return maps, self._reads_means


class OpenVINOModel:
    """A model's graph behind an encoder; see :class:`models.runtime.backend.Executable`."""

    def __init__(self, source: _Source, encoder: OpenVINOEncoder) -> None:
        self.encoder = encoder
        facts = source.model.facts
        self._reads_means = facts.reads_means
        self._has_adjectives = spec_of(source.model.name).adjectives
        self._network: InferenceModel | None = source.exporter.network if facts.text_encoder else None
        self._graph = source.head()

    def score(
        self, images: Sequence[Maps], words: Sequence[Sequence[str]], mapped: Sequence[int]
    ) -> list[Said]:
        inputs = [image.means if self._reads_means else image.levels for image in images]
        return [
            replace(
                self._said(rest),
                words=self._compared(embedding[0], words[row]),
                local=tuple(map(tuple, local[0].tolist())) if row in mapped else None,
                embedding=embedding[0].ravel(),
            )
            for row, (embedding, local, *rest) in enumerate(self._graph.run(inputs, mapped))
        ]

    def compare(self, distorted: Sequence[Maps], references: Sequence[Maps]) -> list[Said]:
        pairs = zip(distorted, references, strict=True)
        return [
            self._said(rest)
            for rest in self._graph.run([(*one.levels, *other.levels) for one, other in pairs])
        ]

    def _compared(self, embedding: _Array, words: Sequence[str]) -> tuple[float, ...] | None:
        if self._network is None:
            return None
        import torch

        return self._network.compared(torch.from_numpy(embedding), words)

    def _said(self, outputs: Sequence[_Array]) -> Said:
        found = [tuple(values[0].tolist()) for values in outputs[1:]]
        similarities = found.pop(0) if self._has_adjectives else ()
        return Said(float(outputs[0].reshape(-1)[0]), similarities, found[0] if found else ())


class OpenVINOBackend:
    """OpenVINO on the CPU; see :class:`models.runtime.backend.Backend`.

    Raises:
        DeviceUnavailable: another device or precision is asked for.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, device: str = "auto", dtype: str = "auto", threads: int | None = None) -> None:
        if device not in ("auto", "cpu"):
            raise DeviceUnavailable(f"The runtime openvino is for the CPU, not for {device}.")
        if dtype not in ("auto", *_HINTS):
            raise DeviceUnavailable(
                f"The runtime openvino computes in {' or '.join(_HINTS)}, not in {dtype}."
            )
        self.automatic = dtype == "auto"
        self.dtype = dtype if dtype != "auto" else "bfloat16" if cpu_has_bfloat16() else "float32"
        self.capabilities = Capabilities(_BATCH_PIXELS, _REFERENCE_BYTES, padded=False)
        self._threads = threads or usual_threads()
        self._encoders: weakref.WeakValueDictionary[tuple[str, Preprocessing, str], OpenVINOEncoder]
        self._encoders = weakref.WeakValueDictionary()

    @property
    def memory_bytes(self) -> int:
        return resident_bytes()

    def load(
        self, name: str, source: str, *, sha256: str | None = None, allow_untrained: bool = False
    ) -> Model:
        load = partial(load_model, name, source, sha256=sha256, allow_untrained=allow_untrained)
        file = load_file(name, source, sha256=sha256, allow_untrained=allow_untrained)
        facts = None if file is None else graphs.facts_of(name, file.sha256)
        if file is None or facts is None:
            return load()
        return UnbuiltModel(name, file.metadata, file.sha256, facts, file.path, load)

    def precision_for(self, loaded: Model) -> str:
        coarse = self.automatic and graphs.is_coarse(loaded.facts.encoder, self.dtype)
        return "float32" if coarse else self.dtype

    def place(self, loaded: Model, dtype: str) -> Executable:
        preprocessing, facts = loaded.metadata.preprocessing, loaded.facts
        shared = (facts.encoder, preprocessing, dtype)
        source = _Source(loaded, dtype, self._threads)
        encoder = self._encoders.get(shared) or OpenVINOEncoder(facts.multiple)
        try:
            encoder.serve(source)
            placed = OpenVINOModel(source, encoder)
        except WeightsError:
            raise
        except Exception as error:
            _log.warning("%s cannot be exported and stays in torch: %s", loaded.name, error)
            return source.exporter.network
        _begin(encoder, placed, compares=spec_of(loaded.name).full_reference)
        self._encoders[shared] = encoder
        if self.automatic and dtype != self.dtype:
            graphs.note_coarse(facts.encoder, self.dtype)
        if isinstance(loaded, LoadedModel):
            graphs.note(loaded.name, loaded.sha256, facts)
        return placed


def _begin(encoder: OpenVINOEncoder, model: OpenVINOModel, *, compares: bool) -> None:
    """Runs a model on several cells, before an image of one can be the first: see `is_one_cell`."""
    (maps,) = encoder.encode([_SEVERAL_CELLS], compared=compares)
    if compares:
        model.compare([maps], [maps])
    else:
        model.score([maps], [()], ())


def encoder_key(digest: str, preprocessing: Preprocessing, multiple: int, *, maps: bool, means: bool) -> str:
    """Tells an encoder's graph from all others, whichever model it was traced of."""
    return f"encoder {digest} {preprocessing.mean} {preprocessing.std} {multiple} maps={maps} means={means}"


def head_key(name: str, sha256: str) -> str:
    """Tells a head's graph from all others."""
    return f"{name} {sha256}"


def tensors_of(path: Path, name: str, begin: str = "") -> Mapping[str, NDArray[Any]]:
    """Tensors of a weights file as stored.

    Args:
        path: of the file.
        name: the slot that it is for.
        begin: of the names of those that are wanted, which their names are given without.

    Raises:
        WeightsError: the file cannot be used.
    """
    file = open_file(path, name)
    assert file is not None  # a checkpoint of a model's authors is loaded by torch
    arrays = file.arrays()
    return {key.removeprefix(begin): values for key, values in arrays.items() if key.startswith(begin)}


def _compiled(
    key: str,
    trace: Callable[[], openvino.Model],
    numbers: Numbers | None,
    dtype: str,
    threads: int,
    *,
    streams: int,
) -> openvino.CompiledModel:
    options: dict[str, str | int | bool] = {
        "INFERENCE_PRECISION_HINT": _HINTS[dtype],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS,
        "ENABLE_CPU_PINNING": False,  # other processes want the same cores
    }
    return graphs.compiled(key, trace, numbers, options)


def _take(request: openvino.InferRequest, where: tuple[list[tuple[_Array, ...]], int]) -> None:
    """Copies what a request gave to its place: its own memory is used again."""
    found, place = where
    found[place] = tuple(tensor.data.copy() for tensor in request.output_tensors)
