"""Which runtime computes."""

from typing import Final

from models.runtime.backend import Backend
from models.runtime.eager import EagerBackend

RUNTIMES: Final = ("auto", "eager")


def open_backend(runtime: str = "auto", device: str = "auto", dtype: str = "auto") -> Backend:
    """The runtime of that name on a device.

    Args:
        runtime: one of :data:`RUNTIMES`; "auto" takes what is fastest on the device.
        device: "auto" (the first CUDA device, else the CPU), "cpu", "cuda" or "cuda:N".
        dtype: "float32", "bfloat16", "float16", or "auto": what the device has in hardware.

    Raises:
        DeviceUnavailable: the device, the precision or the runtime is not to be had.
    """
    return EagerBackend(device, dtype)
