"""The build backend (PEP 517) of the distribution iqa-client: the client's modules under a name of their own.

The package ``app`` of the service may share its name with a package of the program that uses the client. The
distribution therefore has one package, ``iqa_client``. Its modules are copies of the service's modules with
other names in them (``_MODULES``); setuptools builds the package in a temporary folder.
"""

import ast
import contextlib
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from setuptools import build_meta

_HERE: Final = Path(__file__).resolve().parent
_ROOT: Final = _HERE.parents[2]

_MODULES: Final = {
    "app.client": "iqa_client",
    "app.schemas": "iqa_client.schemas",
    "app.schemas.measured": "iqa_client.schemas.measured",
    "app.version": "iqa_client.version",
    "models.vocabulary": "iqa_client.science.vocabulary",
    "models.calibration": "iqa_client.science.calibration",
    "models.faults": "iqa_client.science.faults",
    "models.grades": "iqa_client.science.grades",
}
"""Packages and modules of the service that the client consists of, and their names there."""

# app.version looks the version up by the name of the distribution.
_NAMES: Final = _MODULES | {'"iqa-service"': '"iqa-client"'}
_NAME: Final = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, _NAMES))})(?!\w)")


def build_wheel(
    wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel.

    Returns:
        The name of the file in `wheel_directory`.

    Raises:
        ValueError: a module imports a part of the service that is not listed in ``_MODULES``.
    """
    target = str(Path(wheel_directory).resolve())
    with _project():
        return str(build_meta.build_wheel(target, config_settings))


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """Build the source distribution. It holds the renamed modules and needs no files of the service.

    Returns:
        The name of the file in `sdist_directory`.

    Raises:
        ValueError: a module imports a part of the service that is not listed in ``_MODULES``.
    """
    target = str(Path(sdist_directory).resolve())
    with _project():
        return str(build_meta.build_sdist(target, config_settings))


@contextlib.contextmanager
def _project() -> Iterator[None]:
    """A temporary current folder with an ordinary setuptools project."""
    with tempfile.TemporaryDirectory(prefix="iqa-client-") as folder, contextlib.chdir(folder):
        here = Path(folder)
        for path in (_HERE / "README.md", _ROOT / "LICENSE"):
            shutil.copy(path, here)
        declared = (_HERE / "pyproject.toml").read_text(encoding="utf-8")
        of_setuptools = re.sub(r"(?m)^(build-backend|backend-path) = .*\n", "", declared)
        (here / "pyproject.toml").write_text(of_setuptools, encoding="utf-8")
        service = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        (here / "VERSION").write_text(service["project"]["version"], encoding="utf-8")
        _write_package(here)
        yield


def _write_package(folder: Path) -> None:
    for name, renamed in _MODULES.items():
        original = _ROOT.joinpath(*name.split("."))
        target = folder.joinpath(*renamed.split("."))
        if original.is_dir():
            for module in original.glob("*.py"):
                _copy(module, target / module.name)
        else:
            _copy(original.with_suffix(".py"), target.with_suffix(".py"))
    (folder / "iqa_client/science/__init__.py").touch()
    (folder / "iqa_client/py.typed").touch()


def _copy(module: Path, target: Path) -> None:
    source = _NAME.sub(lambda found: _NAMES[found[0]], module.read_text(encoding="utf-8"))
    if left := sorted(name for name in _imported(source) if name.partition(".")[0] in {"app", "models"}):
        raise ValueError(f"{module} imports {', '.join(left)}; add it to _MODULES in {__file__}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(source, encoding="utf-8")


def _imported(source: str) -> Iterator[str]:
    """Modules that a program imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
