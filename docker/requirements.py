"""Prints what the service needs to run, a line each: pyproject.toml's dependencies and those of extras.

python docker/requirements.py heic,train
"""

import sys
import tomllib
from pathlib import Path
from typing import Any


def project() -> dict[str, Any]:
    """What pyproject.toml in the current folder says."""
    return tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))


def requirements(extras: list[str]) -> list[str]:
    """The lines; a KeyError if there is no such extra."""
    declared = project()["project"]
    lines = list(declared["dependencies"])
    for extra in extras:
        lines += declared["optional-dependencies"][extra]
    return lines


if __name__ == "__main__":
    print(*requirements([extra for extra in sys.argv[1].split(",") if extra]), sep="\n")
