"""Models as graphs of OpenVINO: traced once, for images of one size at a time, whichever, and kept on disk.

Images of one size have no padding, so a graph needs no mask: what is ragged in :mod:`models.runtime.eager`
is not here. What is traced are the very modules that it runs, made ready for inference.
"""

import contextlib
import hashlib
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import openvino
import platformdirs
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from models.backbones.feature_maps import FeatureMaps
from models.base import QualityModel
from models.files import replace_durably, write_atomically
from models.ragged import Extents
from models.runtime.eager import EagerEncoder

GRAPH_VERSION: Final = "3"
"""Of this module; raised when the same model would give another graph."""

_log = logging.getLogger("iqa.runtime")
_MOST_BYTES: Final = 2 * 2**30  # of the cache: some 30 bundled models, or a few of full size
_SIDES: Final = (160, 224)  # of the traced example: no side, no grid and no number of channels alike


class EncoderGraph(nn.Module):
    """``(B, H, W, 3)`` uint8 to the feature maps and, where sides are whole cells, their means."""

    def __init__(self, encoder: EagerEncoder, *, maps: bool, means: bool) -> None:
        super().__init__()
        self.encoder, self.maps, self.means = encoder, maps, means

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        images = pixels.permute(0, 3, 1, 2)
        size = (images.shape[-2], images.shape[-1])
        found = self.encoder(images, Extents((size,) * len(pixels), size))
        return (*(found.levels if self.maps else ()), *(found.means if self.means else ()))


class HeadGraph(nn.Module):
    """Means or feature maps to the embeddings, local quality of the first image, and the read-out."""

    def __init__(self, model: QualityModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        last = inputs[-1]
        if self.model.reads_means:
            maps = FeatureMaps.known((), inputs, (last.shape[-2], last.shape[-1]))
        else:
            maps = FeatureMaps.unpadded(inputs)
        embeddings, local = self.model.embed_maps(maps, (0,))
        return (embeddings, torch.stack(list(local)), *_read_out(self.model, embeddings))


class PairGraph(nn.Module):
    """The feature maps of distorted images and of their references to the read-out."""

    def __init__(self, model: QualityModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        middle = len(inputs) // 2
        return _read_out(
            self.model, self.model.relate(FeatureMaps.unpadded(inputs[:middle]), inputs[middle:])
        )


def _read_out(model: QualityModel, embeddings: Tensor) -> tuple[Tensor, ...]:
    output = model.read_out(embeddings)
    return tuple(
        values
        for values in (output.score, output.similarities, output.prompt_probabilities)
        if values is not None
    )


def example_pixels() -> Tensor:
    """Images to trace with."""
    return torch.randint(256, (2, *_SIDES, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def compiled(
    key: str,
    build: Callable[[], tuple[nn.Module, Sequence[Tensor]]],
    options: Mapping[str, str | int | bool],
    folder: Path | None = None,
) -> openvino.CompiledModel:
    """A module for this processor: from its graph on disk, or traced and compiled now.

    Args:
        key: tells the module, with its numbers, from all others.
        build: the module in evaluation mode, and an example of its inputs; of these only the number of
            channels is fixed.
        options: of the compiler.
        folder: of the cache; None for the user's. A folder that cannot be written to is passed over.

    Raises:
        Exception: the module cannot be traced; of any kind that torch and OpenVINO raise.
    """
    core = _core()
    place = (folder or platformdirs.user_cache_path("iqa-service") / "graphs") / _digest(GRAPH_VERSION, key)
    processor = core.get_property("CPU", "FULL_DEVICE_NAME")
    ready = place / f"{_digest(processor, sorted(options.items()))}.blob"
    try:
        return core.import_model(ready.read_bytes(), "CPU", dict(options))
    except (OSError, RuntimeError):
        pass  # not there, or of another kind
    try:
        graph = core.read_model(place / "graph.xml")
    except (OSError, RuntimeError):
        graph = _traced(*build())
        _keep(graph, place)
    made = core.compile_model(graph, "CPU", dict(options))
    with _unkept():
        write_atomically(ready, made.export_model().getvalue())
    return made


@cache
def _core() -> openvino.Core:
    """The only one of this process, which is never destroyed.

    Each one gives the thread that makes it another stack for signal handlers, and unmaps that stack when it
    is destroyed. Of several, destroyed in the order in which they were made, the last one puts back the stack
    of the first, which is unmapped by then: the next signal ends the process without a word, or overwrites
    whatever lies there.
    """
    return openvino.Core()


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr((openvino.__version__, *parts)).encode()).hexdigest()[:32]


@torch.no_grad()
def _traced(module: nn.Module, inputs: Sequence[Tensor]) -> openvino.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer tells of every size that is a number of the network
        decoder = TorchScriptPythonDecoder(module, example_input=tuple(inputs))
        frontend = FrontEndManager().load_by_framework("pytorch")
        graph = frontend.convert(frontend.load(decoder))
    shapes = {}
    for number, values in enumerate(inputs):
        pixels = values.dtype == torch.uint8
        shapes[number] = openvino.PartialShape([-1, -1, -1, 3] if pixels else [-1, values.shape[1], -1, -1])
        graph.inputs[number].get_node().set_element_type(openvino.Type.u8 if pixels else openvino.Type.f32)
    graph.reshape(shapes)
    return graph


def _keep(graph: openvino.Model, place: Path) -> None:
    """Puts a graph into the cache, whole or not at all, and bounds the cache.

    Another process that exports the same model at the same time writes the same files.
    """
    with _unkept():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=place) as made:
            openvino.save_model(graph, Path(made, "graph.xml"), compress_to_fp16=False)
            for name in ("graph.bin", "graph.xml"):  # the one that is looked for comes last
                replace_durably(Path(made, name), place / name)
        _drop_the_oldest(place.parent, keep=place)


def _drop_the_oldest(folder: Path, keep: Path) -> None:
    """Removes the graphs that were made first, until at most :data:`_MOST_BYTES` are left.

    A process that runs one of them has it in memory.
    """
    places = sorted(folder.iterdir(), key=lambda place: place.stat().st_mtime, reverse=True)
    total = 0
    for place in places:
        total += sum(file.stat().st_size for file in place.iterdir() if file.is_file())
        if total > _MOST_BYTES and place != keep:
            shutil.rmtree(place)


@contextlib.contextmanager
def _unkept() -> Iterator[None]:
    """Lets a cache be that cannot be written to: the next start takes longer."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        _log.info("an exported model is not kept: %s", error)
