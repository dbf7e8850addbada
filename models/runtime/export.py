"""Models traced by torch into graphs of OpenVINO, for images of one size at a time, whichever.

Images of one size have no padding, so a graph needs no mask: what is ragged in :mod:`models.runtime.eager`
is not here. Encoders are traced as they are defined: the graph's compiler folds batch norm itself, and every
constant is a tensor of the weights file. Heads are traced as they are made ready for inference.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

import openvino
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from models.backbones.feature_maps import FeatureMaps
from models.base import QualityModel
from models.loading import Model
from models.preprocessing import Preprocessing
from models.ragged import Extents, normalize
from models.runtime.eager import InferenceModel

_SIDES: Final = (160, 224)  # of the traced example: no side, no grid and no number of channels alike


class Exporter:
    """Graphs of one model, traced where they are needed.

    Args:
        model: whose module is built, and taken over, when the first graph is traced.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    @cached_property
    def network(self) -> InferenceModel:
        """The model for torch, whose heads are traced.

        Raises:
            WeightsError: there is no torch to build it.
        """
        module = self._model.module
        self._plain = module.encoder
        return InferenceModel(module, self._model.metadata.preprocessing)

    def encoder(self, *, maps: bool, means: bool) -> openvino.Model:
        """The graph from ``(B, H, W, 3)`` uint8 to the feature maps and their means, where wanted.

        Raises:
            Exception: it cannot be traced; of any kind that torch and OpenVINO raise.
        """
        return traced(self._encoder(maps=maps, means=means), [example_pixels()])

    def head(self) -> openvino.Model:
        """The graph from what the encoder gives to the read-out.

        Raises:
            Exception: as :meth:`encoder`.
        """
        model = self.network.model
        if model.full_reference:
            maps = self._example(maps=True, means=False)
            return traced(_PairGraph(model).eval(), [*maps, *(values + 0.1 for values in maps)])
        means = model.reads_means
        return traced(_HeadGraph(model).eval(), self._example(maps=not means, means=means))

    def _example(self, *, maps: bool, means: bool) -> Sequence[Tensor]:
        with torch.inference_mode():
            found = self._encoder(maps=maps, means=means)(example_pixels())
        return [values.clone() for values in found]

    def _encoder(self, *, maps: bool, means: bool) -> nn.Module:
        folded = self.network.encoder.network
        # What has no features of its own takes extents, as a folded encoder does.
        plain = _Plain(self._plain) if hasattr(self._plain, "features") else folded
        return EncoderGraph(plain, self._model.metadata.preprocessing, maps=maps, means=means).eval()


class EncoderGraph(nn.Module):
    """``(B, H, W, 3)`` uint8 to the feature maps and, where sides are whole cells, their means.

    Args:
        network: that takes images and extents, and gives feature maps with theirs.
        preprocessing: of its input.
        maps: whether the feature maps are wanted.
        means: whether their means are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, *, maps: bool, means: bool) -> None:
        super().__init__()
        self.network, self.maps, self.means = network, maps, means
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocessing, name)).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        images = pixels.permute(0, 3, 1, 2)
        size = (images.shape[-2], images.shape[-1])
        extents = Extents((size,) * len(pixels), size)
        levels = self.network(normalize(images, extents, self.mean, self.std), extents)
        found = FeatureMaps([values for values, _ in levels], [each for _, each in levels])
        return (*(found.levels if self.maps else ()), *(found.means if self.means else ()))


class _Plain(nn.Module):
    """An encoder as it is defined, called as a folded one is."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, extents: Extents) -> list[tuple[Tensor, Extents]]:
        features: Callable[[Tensor], Sequence[Tensor]] = self.network.features  # type: ignore[assignment]
        maps = FeatureMaps.unpadded(features(images))
        return list(zip(maps.levels, maps.extents, strict=True))


class _HeadGraph(nn.Module):
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


class _PairGraph(nn.Module):
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


@torch.no_grad()
def traced(module: nn.Module, inputs: Sequence[Tensor]) -> openvino.Model:
    """The graph of a module in evaluation mode, for images of any size.

    Args:
        module: of which tuples of tensors come.
        inputs: an example; of these only the number of channels is fixed.

    Raises:
        Exception: it cannot be traced; of any kind that torch and OpenVINO raise.
    """
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
