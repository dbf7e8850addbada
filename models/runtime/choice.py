"""Which runtime computes."""

from importlib.util import find_spec
from typing import Final

from models.runtime.backend import Backend, DeviceUnavailable
from models.runtime.device import resolve_device

RUNTIMES: Final = ("auto", "eager", "openvino")


def open_backend(runtime: str = "auto", device: str = "auto", dtype: str = "auto") -> Backend:
    """The runtime of that name on a device.

    Args:
        runtime: one of :data:`RUNTIMES`; "auto" takes openvino on a CPU, where it is installed and computes
            in the precision, otherwise eager.
        device: "auto" (the first CUDA device, otherwise the CPU), "cpu", "cuda" or "cuda:N".
        dtype: "float32", "bfloat16", "float16", or "auto": what the device has in hardware.

    Raises:
        DeviceUnavailable: the device, the precision or the runtime is not to be had.
    """
    there = find_spec("openvino") is not None
    resolved = str(resolve_device(device))
    if runtime == "openvino" and not there:
        raise DeviceUnavailable("The runtime openvino is not installed: pip install openvino.")
    if runtime == "openvino" or (runtime == "auto" and there and resolved == "cpu" and dtype != "float16"):
        from models.runtime.openvino import OpenVINOBackend

        return OpenVINOBackend(resolved, dtype)
    from models.runtime.eager import EagerBackend

    return EagerBackend(device, dtype)
