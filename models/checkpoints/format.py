"""The format of weights files: safetensors with metadata in the header, checked before any tensor is read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import ValidationError

from models.checkpoints.errors import WeightsInvalid
from models.checkpoints.metadata import FORMAT, Metadata
from models.vocabulary import WORDS

if TYPE_CHECKING:
    from torch import Tensor

_MAX_HEADER_BYTES: Final = 100_000_000  # the safetensors format's own limit


@dataclass(frozen=True)
class WeightsFile:
    """A weights file whose header was checked, and whose tensors are read when they are needed.

    Attributes:
        metadata: what the file says about itself.
        data: the whole file.
        path: where it was read from.
    """

    metadata: Metadata
    data: bytes
    path: Path

    @cached_property
    def sha256(self) -> str:
        """Of the whole file, lower-case hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The tensors as stored, without torch.

        Raises:
            WeightsInvalid: as :meth:`tensors`; numbers that are not finite are not looked for.
        """
        try:
            return safetensors.numpy.load(self.data)
        except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
            raise self._corrupt() from error

    def tensors(self) -> "dict[str, Tensor]":
        """The tensors as stored, on the CPU.

        Raises:
            WeightsInvalid: the header does not describe them, or some have values that are not finite.
        """
        import safetensors.torch

        from models.checkpoints.saving import require_finite

        try:
            tensors = safetensors.torch.load(self.data)
        except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
            raise self._corrupt() from error
        require_finite(tensors, str(self.path))
        return tensors

    def _corrupt(self) -> WeightsInvalid:
        return WeightsInvalid(f"{self.path} is corrupt: its header does not describe its tensors.")


def read_header(start: bytes, file: BinaryIO, size: int, path: Path) -> dict[str, Any]:
    """The JSON header, once the lengths in it agree with the file's; `start` is what was read already."""
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:9] != b"{" or length > _MAX_HEADER_BYTES:
        raise WeightsInvalid(f"{path} is not a safetensors file.")
    if 8 + length > size:
        raise WeightsInvalid(f"{path} is truncated: its {size} bytes end within the header.")
    try:
        header = json.loads(start[8:] + file.read(length - 1))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsInvalid(f"{path} is corrupt: its header is not what safetensors writes.") from error
    if size < expected:
        raise WeightsInvalid(f"{path} is truncated: it has {size} of {expected} bytes.")
    if size > expected:
        raise WeightsInvalid(f"{path} is corrupt: it has {size - expected} bytes too many.")
    return dict(header)


def metadata_of(header: dict[str, Any], model: str, path: Path) -> Metadata:
    try:
        raw = json.loads(header["__metadata__"]["iqa"])
        version, stored_model = raw["format"], raw["model"]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise WeightsInvalid(
            f"{path} has no metadata of ours: it was not written by `iqa train`, so what it holds is unknown."
        ) from error
    if version != FORMAT:
        raise WeightsInvalid(f"{path} has the format {version!r}; this version reads {FORMAT!r}.")
    if stored_model != model:
        other = stored_model if isinstance(stored_model, str) else repr(stored_model)
        raise WeightsInvalid(f"{path} holds weights of {other}, not of {model}.")
    try:
        metadata = Metadata.model_validate(raw)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise WeightsInvalid(f"{path} has metadata with a missing or wrong entry: {where}.") from error
    if tuple(metadata.adjectives) != WORDS:
        raise WeightsInvalid(f"{path} was made for another table of adjectives than this version has.")
    return metadata
