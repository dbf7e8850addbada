"""The models that there are, by name: the only list of them.

Everything that knows models by name (settings, flags, answers, weights) has the names from here. Another
package offers one of its own as an entry point of the group ``iqa.models``, a :class:`ModelSpec`. There is no
torch here: HTTP processes and the command line read it, and a network is imported when it is loaded.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final

ENTRY_POINTS: Final = "iqa.models"


class NoSuchModel(Exception):
    """There is no such model, or one that a package offers is not usable; the message is one sentence."""


@dataclass(frozen=True)
class ModelSpec:
    """A model that can be loaded.

    Attributes:
        name: of its slot: in settings, requests and answers, and of its weights.
        title: for people.
        network: ``package.module:Class`` of its :class:`models.base.QualityModel`.
        full_reference: whether it compares an image with its reference.
        adjectives: whether it tells how well the 40 adjectives fit; its answers have no dimensions otherwise.
        default: whether it is loaded where the settings name no models.
        bundled: whether a file of weights comes with the project.
        published: module with ``fetch_official``, ``official_path`` and ``read_official`` of the weights that
            the model's authors published; None where they did not, or these cannot be read.
        weights: ``package.module:function`` that gives its :class:`models.checkpoints.metadata.Weights`, of a
            model that needs no file.
    """

    name: str
    title: str
    network: str
    full_reference: bool = False
    adjectives: bool = True
    default: bool = False
    bundled: bool = False
    published: str | None = None
    weights: str | None = None

    @property
    def setting(self) -> str:
        """Name of the setting that chooses its weights."""
        return f"{self.name.replace('-', '_')}_weights"

    @property
    def sources(self) -> str:
        """Which sources of weights it has, for people."""
        named = [name for name, there in (("bundled", self.bundled), ("official", self.published)) if there]
        return ", ".join([*named, "or a path"]) + "." if named else "A path."

    @property
    def source(self) -> str | None:
        """Where its weights come from unless the settings say otherwise; None where they must say it."""
        return "bundled" if self.bundled or self.weights else None


BUILT_IN: Final = (
    ModelSpec(
        "qualiclip",
        "QualiCLIP",
        "models.qualiclip.model:QualiCLIP",
        default=True,
        bundled=True,
        published="models.qualiclip.official",
    ),
    ModelSpec("bpclip", "BPCLIP", "models.bpclip.model:BPCLIP", default=True, bundled=True),
    ModelSpec(
        "bpclip-fr",
        "BPCLIP-FR",
        "models.bpclip.model:BPCLIP",
        full_reference=True,
        default=True,
        bundled=True,
    ),
    ModelSpec("clip-iqa", "CLIP-IQA", "models.clip_iqa.model:CLIPIQA", published="models.qualiclip.official"),
)

BUNDLED: Final = tuple(spec.name for spec in BUILT_IN if spec.bundled)
"""Names of the models whose weights come with the project."""

FULL_REFERENCE: Final = "bpclip-fr"
"""The model that compares pairs. In answers it is called ``bpclip``."""


@cache
def specs() -> Mapping[str, ModelSpec]:
    """All models by name, ours first.

    Raises:
        NoSuchModel: a package offers a model that is not usable.
    """
    found = {spec.name: spec for spec in BUILT_IN}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            spec = point.load()
        except Exception as error:
            raise NoSuchModel(
                f"The model {point.name} of {point.value} cannot be imported: {error}."
            ) from error
        if not isinstance(spec, ModelSpec) or spec.full_reference:
            raise NoSuchModel(f"{point.value} is not a ModelSpec of a no-reference model.")
        if spec.name in found:
            raise NoSuchModel(f"{point.value} offers a model {spec.name}, which there is already.")
        found[spec.name] = spec
    return found


def spec_of(name: str) -> ModelSpec:
    """The model of that name.

    Raises:
        NoSuchModel: there is none.
    """
    try:
        return specs()[name]
    except KeyError:
        raise NoSuchModel(f"There is no model {name}; there are {', '.join(specs())}.") from None


def no_reference() -> tuple[str, ...]:
    """Names of the models that score single images."""
    return tuple(name for name, spec in specs().items() if not spec.full_reference)


def imported(target: str) -> Any:
    """What ``package.module:name`` names.

    Raises:
        NoSuchModel: it is not there.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise NoSuchModel(f"{target} cannot be imported: {error}.") from error
