"""Makes docker/constraints.txt: the exact version of everything that make and the image install from PyPI.

python docker/constraints.py >constraints.new && mv constraints.new docker/constraints.txt

asks pip what it would install now, for this machine's Python, and installs nothing. PyTorch is left out with
what its build for CUDA brings, since each index has builds of its own: the image takes the version that the
Dockerfile names, make the newest in pyproject.toml's range.
"""

import json
import re
import subprocess
import sys

from requirements import extras, project, requirements

_TORCH = re.compile(r"torch|torchvision|triton|nvidia-.*|cuda-.*")
_PATIENCE_S = 1800


def versions() -> dict[str, str]:
    """By the normal name of the project."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    wanted = [*requirements(extras()), *project()["build-system"]["requires"]]
    answer = subprocess.run(
        [*command, "--report", "-", *wanted], stdout=subprocess.PIPE, check=True, timeout=_PATIENCE_S
    )
    projects = [entry["metadata"] for entry in json.loads(answer.stdout)["install"]]
    found = {re.sub(r"[-_.]+", "-", project["name"]).lower(): project["version"] for project in projects}
    return {name: version for name, version in found.items() if not _TORCH.fullmatch(name)}


if __name__ == "__main__":
    print("# Made by docker/constraints.py, which says how.")
    print(*(f"{name}=={version}" for name, version in sorted(versions().items())), sep="\n")
