"""Which device and which precision torch has, and how it says that its memory is full."""

from pathlib import Path
from typing import Final

import torch

from models.runtime.backend import DeviceUnavailable

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """The torch device of a setting.

    Raises:
        DeviceUnavailable: torch sees no such device.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceUnavailable(f"{name} is not a device that torch knows.") from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise DeviceUnavailable(f"{name} was asked for, but torch sees {count} CUDA devices.")
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision of a setting; "auto": bfloat16 where the device has it in hardware, float32 elsewhere."""
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """As settings name it, for example "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; elsewhere it would be slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in (" avx512_bf16", " amx_bf16"))


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch, or Python, could not allocate memory."""
    # torch has no class of its own for it on a CPU.
    told = "DefaultCPUAllocator: can't allocate memory" in str(error)
    return told or isinstance(error, MemoryError | torch.OutOfMemoryError)
