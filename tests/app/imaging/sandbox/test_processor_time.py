"""Who is to blame for what takes long: a process that waits for a processor is told from one that hangs."""

import os
import signal
import sys

import pytest

from app.imaging.sandbox.processor_time import Usage
from tests.app.running import eventually, program_running

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it"),
]


def test_a_stopped_process_wants_a_processor() -> None:
    with program_running("while True: pass") as pid:
        usage = Usage(pid)
        os.kill(pid, signal.SIGSTOP)
        assert usage.starved(60.0)
        os.kill(pid, signal.SIGCONT)


def test_a_process_that_computed_as_long_as_it_might_does_not() -> None:
    with program_running("while True: pass") as pid:
        usage = Usage(pid)
        eventually(lambda: usage.spent_s() > 0.1)
        assert not usage.starved(0.1)


def test_a_process_that_hangs_does_not() -> None:
    with program_running("import time; time.sleep(1000)") as pid:
        usage = Usage(pid)
        eventually(lambda: not usage.starved(60.0))
        assert usage.spent_s() < 1.0


def test_a_process_that_is_gone_does_not() -> None:
    with program_running("pass") as pid:
        usage = Usage(pid)
    assert not usage.starved(60.0)
