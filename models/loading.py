"""From a source of weights to a model that can be asked."""

from dataclasses import dataclass
from pathlib import Path

from models.base import QualityModel
from models.checkpoints.errors import WeightsInvalid
from models.checkpoints.metadata import Metadata, Weights
from models.checkpoints.sources import load_weights
from models.registry import NoSuchModel, imported, spec_of


@dataclass(frozen=True)
class LoadedModel:
    """A model with its provenance.

    Attributes:
        name: the slot it fills.
        module: in evaluation mode, float32, on the CPU.
        metadata: what the weights file says of itself.
        sha256: of the weights file.
    """

    name: str
    module: QualityModel
    metadata: Metadata
    sha256: str

    @property
    def weights_name(self) -> str:
        """Name of the weights, for example "qualiclip-compact"."""
        return self.metadata.name

    @property
    def parameters(self) -> int:
        """How many numbers the model holds."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def load_model(
    name: str,
    source: str | Path = "bundled",
    *,
    directory: Path | None = None,
    sha256: str | None = None,
    allow_untrained: bool = False,
) -> LoadedModel:
    """Load a model from "bundled", "official" or a path; see :mod:`models.checkpoints.sources`.

    With `allow_untrained` weights of arbitrary numbers are as good as any.

    Raises:
        WeightsError: the weights cannot be found, fetched or used; the message is one sentence.
    """
    return build(
        load_weights(name, source, directory=directory, sha256=sha256, allow_untrained=allow_untrained)
    )


def build(weights: Weights) -> LoadedModel:
    """The model that weights in memory describe.

    Raises:
        WeightsInvalid: they do not fit the architecture that they name, or there is no such model.
    """
    name = weights.metadata.model
    try:
        kind: type[QualityModel] = imported(spec_of(name).network)
    except NoSuchModel as error:
        raise WeightsInvalid(str(error)) from error
    return LoadedModel(name, kind.from_weights(weights), weights.metadata, weights.sha256)
