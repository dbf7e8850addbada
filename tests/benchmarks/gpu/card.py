"""The graphics card: its name, and how busy it says that it is."""

import shutil
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

_EVERY_MS: Final = 100
_QUERY: Final = "utilization.gpu,memory.used"


@dataclass
class Load:
    """What ``nvidia-smi`` says of a device while something runs; empty where there is no such program.

    Attributes:
        busy: shares of the time in which a kernel ran, in [0, 1], one a sample.
        memory_mib: of the device that is in use, by all processes.
    """

    busy: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Takes a line such as ``57, 1824``; what is no such line counts as nothing."""
        try:
            busy, memory = map(float, line.split(","))
        except ValueError:  # "[N/A]" of a device that is divided
            return
        self.busy.append(busy / 100)
        self.memory_mib.append(memory)

    def figures(self) -> dict[str, float | None]:
        """The mean share, and the most memory; None where nothing was sampled."""
        return {
            "kernel_share": statistics.fmean(self.busy) if self.busy else None,
            "device_memory_mib": max(self.memory_mib, default=None),
        }


def name_of(device: str) -> str:
    """The name of a CUDA device, or that of the processor."""
    if not device.startswith("cuda"):
        return "CPU"
    import torch

    return torch.cuda.get_device_name(device)


@contextmanager
def watched(device: str) -> Iterator[Load]:
    """Samples a CUDA device while the block runs; the load is complete after the block."""
    load, program = Load(), shutil.which("nvidia-smi")
    if program is None or not device.startswith("cuda"):
        yield load
        return
    index = device.partition(":")[2] or "0"
    command = [program, f"--id={index}", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    sampler = subprocess.Popen(
        [*command, f"--loop-ms={_EVERY_MS}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert sampler.stdout is not None
    lines = sampler.stdout

    def read() -> None:
        for line in lines:
            load.add(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield load
    finally:
        sampler.terminate()
        sampler.wait()
        reader.join()
        lines.close()
