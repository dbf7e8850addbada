"""A test without a mark cannot start a process."""

import contextlib
import multiprocessing
import os
import subprocess
import sys

import pytest

from tests.markers import KINDS, no_process


def _run() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def test_each_test_has_one_kind(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        assert len(KINDS & {mark.name for mark in item.iter_markers()}) == 1, item.nodeid


def test_a_pure_test_cannot_start_a_process() -> None:
    for start in (_run, lambda: multiprocessing.Process(target=print).start(), lambda: os.fork()):
        with pytest.raises(pytest.fail.Exception, match="starts a process"), no_process("this test"):
            start()


@pytest.mark.process
def test_an_ignored_failure_fails_the_test_as_well() -> None:
    def ignoring() -> None:
        with contextlib.suppress(BaseException):
            _run()

    with pytest.raises(pytest.fail.Exception, match="mark it with"), no_process("this test"):
        ignoring()
    _run()
