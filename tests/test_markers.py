"""The markers pure, process and system: how a test gets one, and that a pure test cannot start a process."""

import contextlib
import multiprocessing
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from tests import markers
from tests.app.running import Server, eventually
from tests.markers import KINDS, PROCESS, PURE, SYSTEM, kind_of, no_process, starts_process

_NUMBERS = np.arange(3)


def _runs() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


@cache
def _runs_by_another() -> None:
    _runs()


class _Runner:
    def run(self) -> None:
        def inner() -> None:
            _runs()

        inner()


def _starts_a_server() -> None:
    Server({})


def _only_waits() -> None:
    eventually(lambda: True)


@pytest.mark.parametrize("function", [_runs, _runs_by_another, _Runner, _starts_a_server])
def test_what_starts_a_process_is_found(function: object) -> None:
    assert starts_process([_only_waits, function])


def test_an_array_among_the_globals_is_no_module() -> None:
    assert not starts_process([lambda: _NUMBERS.sum()])


def test_a_helper_beside_one_that_starts_processes_is_pure() -> None:
    assert not starts_process([_only_waits])


@pytest.mark.parametrize(
    ("path", "function", "kind"),
    [
        ("tests/app/policies/test_judging.py", _only_waits, PURE),
        ("tests/app/policies/test_judging.py", _runs, PROCESS),
        ("tests/app/scoring/test_service.py", _only_waits, PROCESS),
        ("tests/app/web/test_words.py", _only_waits, SYSTEM),
        ("tests/docker/test_compose.py", _only_waits, PURE),
        ("tests/docker/test_compose.py", _runs, SYSTEM),
    ],
)
def test_kinds(path: str, function: object, kind: str) -> None:
    assert kind_of(path, [function]) == kind


def test_the_table_names_what_is_there(pytestconfig: pytest.Config) -> None:
    entries = markers._SYSTEM + markers._SYSTEM_PROGRAMS + markers._PROCESS
    assert [entry for entry in entries if not (pytestconfig.rootpath / entry).exists()] == []


def test_each_test_has_one_kind(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        assert len(KINDS & {mark.name for mark in item.iter_markers()}) == 1, item.nodeid


def test_a_pure_test_cannot_start_a_process() -> None:
    for start in (_runs, lambda: multiprocessing.Process(target=print).start(), lambda: os.fork()):
        with pytest.raises(pytest.fail.Exception, match="starts a process"), no_process("this test"):
            start()


def test_an_ignored_failure_fails_the_test_as_well() -> None:
    def ignoring() -> None:
        with contextlib.suppress(BaseException):
            _runs()

    with (
        pytest.raises(pytest.fail.Exception, match=r"_PROCESS in tests/markers\.py"),
        no_process("this test"),
    ):
        ignoring()
    _runs()
