"""Markers that say what a test needs to run: ``pure``, ``process`` or ``system``."""

import inspect
import multiprocessing
import multiprocessing.process
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

PURE = "pure"
PROCESS = "process"
SYSTEM = "system"
KINDS = {PURE, PROCESS, SYSTEM}

# Each test of these folders needs a browser, or kills processes of a running service.
_SYSTEM = ("tests/app/chaos/", "tests/app/web/")
# A test of these that starts a process starts HAProxy, Prometheus, a browser, or files of docker/.
_SYSTEM_PROGRAMS = ("tests/docker/", "tests/benchmarks/test_balancer.py", "tests/benchmarks/test_page.py")
# These modules start processes through code that :func:`starts_process` does not read.
_PROCESS = (
    "tests/app/scoring/test_service.py",
    "tests/benchmarks/test_bulk.py",
    "tests/benchmarks/test_programs.py",
)
_STARTING_MODULES = {"subprocess", "multiprocessing.context", "multiprocessing.process"}
# ``create_app`` and ``Decoders`` of the service start decoder processes.
_STARTING_NAMES = {
    "Decoders",
    "create_app",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "fork",
    "posix_spawn",
    "sync_playwright",
}
# What :func:`no_process` replaces.
_STARTS: tuple[tuple[Any, str], ...] = (
    (subprocess.Popen, "__init__"),
    (multiprocessing.process.BaseProcess, "start"),
    (os, "fork"),
    (os, "posix_spawn"),
)
_HARMLESS = {"uname"}  # cvvdp asks for the machine when it is imported


def kind_of(path: str, functions: Iterable[object]) -> str:
    """Return the marker of a test.

    Args:
        path: the path of the test's module, relative to the repository, with slashes.
        functions: the test and the fixtures that it uses.
    """
    if path.startswith(_SYSTEM):
        return SYSTEM
    if path.startswith(_PROCESS) or starts_process(functions):
        return SYSTEM if path.startswith(_SYSTEM_PROGRAMS) else PROCESS
    return PURE


def starts_process(functions: Iterable[object]) -> bool:
    """Return whether functions, or helpers in ``tests`` that they name, use a module that starts processes.

    It reads names, not values: ``subprocess.CompletedProcess`` counts, and a method of an instance does not.
    """
    pending = list(functions)
    seen: set[FunctionType] = set()
    while pending:
        for function in _plain_functions(pending.pop()):
            if function not in seen:
                seen.add(function)
                starts, helpers = _read(function)
                if starts:
                    return True
                pending += helpers
    return False


@cache
def _read(function: FunctionType) -> tuple[bool, tuple[object, ...]]:
    """Return whether a function itself starts a process, and the helpers in ``tests`` that it names."""
    names = _names(function.__code__)
    values = list(_values(function, names))
    starts = bool(names & _STARTING_NAMES) or any(
        value is subprocess or value is multiprocessing or _module_of(value) in _STARTING_MODULES
        for value in values
    )
    return starts, tuple(value for value in values if _module_of(value).startswith("tests."))


@contextmanager
def no_process(test: str) -> Iterator[None]:
    """Fail a test that starts a process.

    Raises:
        pytest.fail.Exception: a process was started, even where the code under test ignored the failure.
    """
    attempts: list[str] = []

    def rejecting(what: str, original: Callable[..., None]) -> Callable[..., None]:
        def reject(*arguments: Any, **options: Any) -> None:
            if len(arguments) > 1 and arguments[1] and arguments[1][0] in _HARMLESS:
                original(*arguments, **options)
                return
            attempts.append(
                f"{test} is marked {PURE} and starts a process ({what} of {arguments[1:]!r}); "
                "mark it with pytest.mark.process, or add its module to _PROCESS in tests/markers.py."
            )
            pytest.fail(attempts[-1])

        return reject

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in _STARTS:
            patch.setattr(owner, name, rejecting(f"{owner.__name__}.{name}", getattr(owner, name)))
        yield
    if attempts:
        pytest.fail(attempts[0])


def _plain_functions(value: object) -> list[FunctionType]:
    if inspect.isclass(value):
        members = (getattr(member, "fget", None) or member for member in vars(value).values())
        return [inner for member in members for inner in _plain_functions(member)]
    value = getattr(value, "__func__", value)
    value = getattr(getattr(value, "hypothesis", None), "inner_test", value)
    if not callable(value):
        return []
    function = inspect.unwrap(value)
    function = getattr(function, "__func__", function)
    return [function] if isinstance(function, FunctionType) else []


def _names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _values(function: FunctionType, names: set[str]) -> Iterator[object]:
    """Yield what the names of a function stand for: globals, closures, attributes of modules in tests."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        yield value
        if isinstance(value, ModuleType) and value.__name__.startswith("tests."):
            yield from (getattr(value, attribute) for attribute in names if hasattr(value, attribute))


def _module_of(value: object) -> str:
    if isinstance(value, type) or inspect.isroutine(value) or hasattr(value, "__wrapped__"):
        return str(getattr(value, "__module__", ""))
    return ""
