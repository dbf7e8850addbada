"""What goes beside the figures: the machine they were measured on, and the file that keeps them."""

import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.servers import usable_cores

_PACKAGES: Final = (
    "torch",
    "pillow",
    "numpy",
    "fastapi",
    "uvicorn",
    "httptools",
    "uvloop",
    "pyzmq",
    "litserve",
)


def machine() -> dict[str, Any]:
    """Processor, cores, system, and versions of what matters for speed; None for what is not installed."""
    return {
        "processor": _processor(),
        "cores": len(usable_cores()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def save(path: Path | None, results: dict[str, Any]) -> None:
    """Writes results with the machine they come from, if a file was named."""
    if path is not None:
        path.write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
