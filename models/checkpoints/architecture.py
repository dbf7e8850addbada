"""The numbers of an architecture: a frozen dataclass in code, plain JSON in a weights file's metadata."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Self

from models.backbones.efficientnet import SCALES
from models.checkpoints.errors import WeightsInvalid

RESNET: Final = "resnet"
ENCODERS: Final = (RESNET, *SCALES)
"""Names of the encoders that a config may ask for: the ResNet of the papers, or an EfficientNet-Lite."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Base of the models' configs: fields are numbers, booleans, names and tuples of whole numbers."""

    @classmethod
    def from_metadata(cls, architecture: Mapping[str, Any]) -> Self:
        """Read the ``architecture`` of a weights file.

        Raises:
            WeightsInvalid: a field is unknown or missing, or its value is of another kind than the default's.
        """
        known = {field.name: field.default for field in dataclasses.fields(cls)}
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in architecture.items()}
        required = {name for name, default in known.items() if default is dataclasses.MISSING}
        faults = [
            *(f'{cls.__name__} knows nothing of "{name}"' for name in sorted(values.keys() - known.keys())),
            *(f'{cls.__name__} needs "{name}"' for name in sorted(required - values.keys())),
            *(
                f'"{name}" is {v!r}'
                for name, v in values.items()
                if name in known and not _fits(v, known[name])
            ),
        ]
        if faults:
            raise WeightsInvalid(f"The weights describe an architecture that is not known: {faults[0]}.")
        return cls(**values)

    def as_metadata(self) -> dict[str, Any]:
        """The fields as JSON-friendly values, the inverse of :meth:`from_metadata`."""
        fields = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}


def _fits(value: object, default: object) -> bool:
    """Whether a value can stand for the default; a field without one wants a boolean."""
    if default is dataclasses.MISSING or isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, str):
        return isinstance(value, str) and value in ENCODERS
    if isinstance(default, tuple):
        return isinstance(value, tuple) and len(value) == len(default) and all(_fits(v, 1) for v in value)
    if isinstance(default, int):
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**20
    return isinstance(value, int | float) and 0 <= value <= 1
