"""The format of weights files: safetensors with metadata in the header, checked before any tensor is read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from models.checkpoints.errors import WeightsInvalid
from models.checkpoints.metadata import FORMAT, Metadata
from models.files import write_atomically
from models.vocabulary import WORDS

_MAX_HEADER_BYTES: Final = 100_000_000  # the safetensors format's own limit


def save(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Metadata,
    dtype: torch.dtype | None = torch.float16,
) -> str:
    """Writes a weights file; a process that reads `path` meanwhile sees the whole old file or the new one.

    The same tensors and metadata give the same bytes.

    Args:
        path: of the file; its folder is made where it is missing.
        tensors: floating-point ones are stored as `dtype`, others as they are.
        metadata: stored as JSON in the file's header.
        dtype: of the stored floating-point tensors; None keeps what each tensor has.

    Returns:
        The SHA-256 of the file, lower-case hexadecimal.

    Raises:
        WeightsInvalid: a tensor is not finite, be it only once it is in `dtype`.
    """
    stored = {name: _stored(tensor, dtype) for name, tensor in tensors.items()}
    require_finite(stored, f"What was to be stored as {path}")
    data = _reproducible(safetensors.torch.save(stored, {"format": "pt", "iqa": metadata.model_dump_json()}))
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def require_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    """Raises :class:`WeightsInvalid`, opening with `what`, if a tensor holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsInvalid(f"{what} has values that are not finite numbers, in the tensor {name}.")


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    target = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    # A copy always, since safetensors rejects tensors that share memory, as tied parameters do.
    return tensor.detach().to("cpu", target, copy=True, memory_format=torch.contiguous_format)


def _reproducible(data: bytes) -> bytes:
    """The same file with its metadata in order; safetensors writes them in another one each time."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # the format aligns the tensors so
    return len(text).to_bytes(8, "little") + text + data[end:]


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
