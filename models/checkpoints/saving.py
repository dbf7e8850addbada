"""Writing weights files, which :mod:`models.checkpoints.format` reads."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from models.checkpoints.errors import WeightsInvalid
from models.checkpoints.metadata import Metadata
from models.files import write_atomically


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
