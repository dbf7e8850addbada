"""Models as graphs of OpenVINO: traced once, one image at a time, at any size, and kept by their digest.

Alone an image has no padding, so a graph needs no mask: what is ragged in :mod:`models.runtime.eager` is not
here. What is traced are the very modules that it runs, made ready for inference.
"""

import hashlib
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
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
from models.ragged import Extents
from models.runtime.eager import ImageEncoder

VERSION: Final = "1"
"""Of this module; raised when the same model would give another graph."""

_log = logging.getLogger("iqa.runtime")
_SIDES: Final = (160, 224)  # of the traced example: no side, no grid and no number of channels alike


class EncoderGraph(nn.Module):
    """``(1, H, W, 3)`` uint8 to the feature maps and, where sides are whole cells, their means."""

    def __init__(self, encoder: ImageEncoder, *, maps: bool, means: bool) -> None:
        super().__init__()
        self.encoder, self.maps, self.means = encoder, maps, means

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        images = pixels.permute(0, 3, 1, 2)
        size = (images.shape[-2], images.shape[-1])
        found = self.encoder(images, Extents((size,), size))
        return (*(found.levels if self.maps else ()), *(found.means if self.means else ()))


class HeadGraph(nn.Module):
    """Means or feature maps to the embedding, the read-out and local quality of one image."""

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
        return (embeddings, local[0], *_read_out(self.model, embeddings))


class PairGraph(nn.Module):
    """The feature maps of a distorted image and of its reference to the read-out."""

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
    """An image to trace with."""
    return torch.randint(256, (1, *_SIDES, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def exported(
    key: str, build: Callable[[], tuple[nn.Module, Sequence[Tensor]]], folder: Path | None = None
) -> openvino.Model:
    """The graph of a module, from the cache or traced now.

    Args:
        key: tells the module, with its numbers, from all others.
        build: the module in evaluation mode, and an example of its inputs; of these only the number of
            channels is fixed.
        folder: of the cache; None for the user's. A folder that cannot be written to is passed over.

    Raises:
        Exception: the module cannot be traced; of any kind that torch and OpenVINO raise.
    """
    name = hashlib.sha256(f"{VERSION} {openvino.__version__} {key}".encode()).hexdigest()[:32]
    place = (folder or platformdirs.user_cache_path("iqa-service") / "graphs") / name
    try:
        return openvino.Core().read_model(place / "graph.xml")
    except (OSError, RuntimeError):
        pass  # not there, or not whole
    graph = _traced(*build())
    _keep(graph, place)
    return graph


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
        shapes[number] = openvino.PartialShape([1, -1, -1, 3] if pixels else [1, values.shape[1], -1, -1])
        graph.inputs[number].get_node().set_element_type(openvino.Type.u8 if pixels else openvino.Type.f32)
    graph.reshape(shapes)
    return graph


def _keep(graph: openvino.Model, place: Path) -> None:
    """Puts a graph into the cache, whole or not at all."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".graph-", dir=place.parent))
        try:
            openvino.save_model(graph, made / "graph.xml", compress_to_fp16=False)
            shutil.rmtree(place, ignore_errors=True)
            made.replace(place)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        _log.info("exported models are not kept: %s", error)
