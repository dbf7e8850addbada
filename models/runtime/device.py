"""Which device and which precision there is, how much memory is held, and how it is told that it is full."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.runtime.backend import DeviceUnavailable, OutOfMemory

if TYPE_CHECKING:
    import torch


def resolve_device(name: str) -> "torch.device":
    """The torch device of a setting.

    Raises:
        DeviceUnavailable: torch sees no such device.
    """
    import torch

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


def resolve_dtype(name: str, device: "torch.device") -> "torch.dtype":
    """The precision of a setting; "auto": bfloat16 where the device has it in hardware, float32 elsewhere."""
    import torch

    if name != "auto":
        return torch_dtype(name)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def torch_dtype(name: str) -> "torch.dtype":
    """Of float32, bfloat16 or float16."""
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def dtype_name(dtype: "torch.dtype") -> str:
    """As settings name it, for example "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; elsewhere it would be slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in (" avx512_bf16", " amx_bf16"))


def has_gpu() -> bool:
    """Whether there may be a CUDA device; only then is torch worth asking, which takes seconds to import."""
    return any(next(Path("/dev").glob(nodes), None) for nodes in ("nvidia[0-9]*", "dxg"))


def usual_threads() -> int:
    """Threads for computation unless the settings say otherwise: OpenMP's number, or one for each core."""
    try:
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    except (KeyError, ValueError):
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@contextmanager
def memory_for(images: int, *told: str) -> Iterator[None]:
    """Turns what a library raises for want of memory into :class:`OutOfMemory`.

    Args:
        images: that are computed at once.
        told: what else the message of such an exception may contain; torch has no class of its own on a CPU.
    """
    try:
        yield
    except Exception as error:
        known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's
        if known or any(
            words in str(error) for words in ("DefaultCPUAllocator: can't allocate memory", *told)
        ):
            raise OutOfMemory(f"The device has no memory for {images} images at once.") from error
        raise
