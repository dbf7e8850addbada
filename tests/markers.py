"""What the markers say: a test without a mark is pure, and starts no process."""

import multiprocessing.process
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

PURE: Final = "pure"
KINDS: Final = frozenset({PURE, "process", "system"})

_STARTS: Final[tuple[tuple[Any, str], ...]] = (
    (subprocess.Popen, "__init__"),
    (multiprocessing.process.BaseProcess, "start"),
    (os, "fork"),
    (os, "posix_spawn"),
)
_HARMLESS: Final = frozenset({"uname"})  # cvvdp asks for the machine when it is imported


_SECONDS: Final = {PURE: 0.05, "process": 0.6, "system": 3.0, "slow": 10.0}
"""Of a test with that marker, roughly: in which order files are run follows from it, and nothing else."""


def longest_files_first(items: list[pytest.Item]) -> None:
    """Sort tests so that a worker is not left with a long file when the others have nothing left to do."""
    expected: dict[object, float] = {}
    for item in items:
        names = {mark.name for mark in item.iter_markers()}
        seconds = sum(cost for name, cost in _SECONDS.items() if name in names)
        expected[item.path] = expected.get(item.path, 0.0) + seconds
    items.sort(key=lambda item: -expected[item.path])


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
                f"{test} has no mark and starts a process ({what} of {arguments[1:]!r}): "
                "mark it with pytest.mark.process."
            )
            pytest.fail(attempts[-1])

        return reject

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in _STARTS:
            patch.setattr(owner, name, rejecting(f"{owner.__name__}.{name}", getattr(owner, name)))
        yield
    if attempts:
        pytest.fail(attempts[0])
