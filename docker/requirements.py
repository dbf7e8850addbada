"""Prints what the service needs to run, a line each: pyproject.toml's dependencies and those of extras.

python docker/requirements.py [--slim] heic,train

With --slim without those that only full installations have.
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


def requirements(chosen: list[str], *, slim: bool = False) -> list[str]:
    """The lines; a KeyError if there is no such extra."""
    told = project()
    declared = told["project"]
    lines = list(declared["dependencies"])
    for extra in chosen:
        lines += declared["optional-dependencies"][extra]
    # An extra that holds others names the project itself, which no index has.
    without = (declared["name"], *(told["tool"]["iqa"]["not-in-slim"] if slim else ()))
    return [line for line in lines if not line.startswith(without)]


if __name__ == "__main__":
    *flags, names = sys.argv[1:]
    print(*requirements([extra for extra in names.split(",") if extra], slim="--slim" in flags), sep="\n")
