"""From a source of weights to a model that can be asked."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from models.checkpoints.errors import WeightsInvalid, WeightsNeedTorch
from models.checkpoints.metadata import Metadata, Weights
from models.checkpoints.sources import load_weights
from models.facts import ModelFacts
from models.registry import NoSuchModel, imported, spec_of

if TYPE_CHECKING:
    from models.base import QualityModel


class Model(Protocol):
    """A model with its provenance.

    Attributes:
        name: the slot it fills.
        metadata: what the weights file says of itself.
        sha256: of the weights file.
        facts: what is known of it without its numbers.
        module: in evaluation mode, float32, on the CPU; who makes it ready for inference takes it over.
    """

    @property
    def name(self) -> str: ...

    @property
    def metadata(self) -> Metadata: ...

    @property
    def sha256(self) -> str: ...

    @property
    def facts(self) -> ModelFacts: ...

    @property
    def module(self) -> "QualityModel": ...


@dataclass(frozen=True)
class LoadedModel:
    """A model whose module was built; see :class:`Model`."""

    name: str
    module: "QualityModel"
    metadata: Metadata
    sha256: str

    @cached_property
    def facts(self) -> ModelFacts:
        """To be asked for before the module is taken over.

        Raises:
            Exception: as :meth:`models.facts.ModelFacts.of`.
        """
        return ModelFacts.of(self.name, self.module, self.metadata.preprocessing)


@dataclass(frozen=True)
class UnbuiltModel:
    """A model of which no number was read; see :class:`Model`.

    Attributes:
        path: of the weights file.
        load: builds the module, which takes seconds.
    """

    name: str
    metadata: Metadata
    sha256: str
    facts: ModelFacts
    path: Path
    load: Callable[[], LoadedModel]

    @cached_property
    def module(self) -> "QualityModel":
        """Built when first asked for.

        Raises:
            WeightsError: as :func:`load_model`.
        """
        return self.load().module


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
    if find_spec("torch") is None:
        raise WeightsNeedTorch(
            f"The weights {source} of {name} are not prepared for running without PyTorch, which is not "
            "installed: install the service in full, or use the bundled weights."
        )
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
