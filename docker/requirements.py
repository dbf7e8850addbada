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


def extras() -> list[str]:
    """Names of all extras."""
    return list(project()["project"]["optional-dependencies"])


def requirements(chosen: list[str]) -> list[str]:
    """The lines; a KeyError if there is no such extra."""
    declared = project()["project"]
    lines = list(declared["dependencies"])
    for extra in chosen:
        lines += declared["optional-dependencies"][extra]
    # An extra that holds others names the project itself, which no index has.
    return [line for line in lines if not line.startswith(declared["name"])]


if __name__ == "__main__":
    print(*requirements([extra for extra in sys.argv[1].split(",") if extra]), sep="\n")
