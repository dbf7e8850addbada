"""Which runtime computes."""

from importlib.util import find_spec
from typing import Final

from models.runtime.backend import Backend, DeviceUnavailable
from models.runtime.device import has_gpu, resolve_device

RUNTIMES: Final = ("auto", "eager", "openvino")


def open_backend(
    runtime: str = "auto", device: str = "auto", dtype: str = "auto", threads: int | None = None
) -> Backend:
    """The runtime of that name on a device.

    Args:
        runtime: one of :data:`RUNTIMES`; "auto" takes openvino on a CPU, where it is installed and computes
            in the precision, otherwise eager.
        device: "auto" (the first CUDA device, otherwise the CPU), "cpu", "cuda" or "cuda:N".
        dtype: "float32", "bfloat16", "float16", or "auto": what the device has in hardware.
        threads: for computation on a CPU; None for :func:`models.runtime.device.usual_threads`.

    Raises:
        DeviceUnavailable: the device, the precision or the runtime is not to be had.
    """
    there = find_spec("openvino") is not None
    if runtime == "openvino" and not there:
        raise DeviceUnavailable("The runtime openvino is not installed: pip install openvino.")
    if runtime == "openvino" or (runtime == "auto" and there and dtype != "float16" and _is_cpu(device)):
        from models.runtime.openvino import OpenVINOBackend

        return OpenVINOBackend(device, dtype, threads)
    if find_spec("torch") is None:
        raise DeviceUnavailable(
            "The runtime eager, GPUs and the precision float16 need PyTorch, which is not installed: install "
            "the service in full, or leave IQA_RUNTIME, IQA_DEVICES and IQA_DTYPE unset."
        )
    from models.runtime.eager import EagerBackend

    return EagerBackend(device, dtype, threads)


def _is_cpu(device: str) -> bool:
    if device == "auto":
        return not has_gpu() or find_spec("torch") is None or resolve_device(device).type == "cpu"
    return device == "cpu"
