"""Which processes do nothing: those that are stopped or wait, and not those that compute."""

import os
import signal
import sys
import time

import pytest

from app.processes.idleness import Idleness, Stops, spent_ns
from app.processes.linux import thread_states
from tests.app.running import eventually, program_running

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it"),
]


@pytest.mark.parametrize("program", ["while True: pass", "import time\nwhile True: time.sleep(0.001)"])
def test_a_process_that_computes_now_and_then_is_not_idle_until_it_is_stopped(program: str) -> None:
    with program_running(program) as pid:
        idleness = Idleness()
        for second in range(5):
            spent = _spent(pid)
            eventually(lambda before=spent: _spent(pid) > before)
            assert idleness.seconds(pid, float(second)) == 0.0
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: idleness.seconds(pid, 10.0) == idleness.seconds(pid, 11.0) - 1.0)


def test_a_process_whose_threads_wait_is_idle() -> None:
    with program_running("import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()") as pid:
        idleness = Idleness()
        eventually(lambda: idleness.seconds(pid, 1.0) < idleness.seconds(pid, 8.0))


def test_the_next_process_begins_anew() -> None:
    waiting = "import threading; threading.Event().wait()"
    with program_running(waiting) as first, program_running(waiting) as second:
        idleness = Idleness()
        eventually(lambda: idleness.seconds(first, 1.0) < idleness.seconds(first, 8.0))
        assert idleness.seconds(second, 9.0) == 0.0


def test_a_process_that_is_gone_is_not_idle() -> None:
    with program_running("pass") as pid:
        idleness = Idleness()
    for second in range(3):
        assert idleness.seconds(pid, float(second)) == 0.0


def _spent(pid: int) -> float:
    return time.clock_gettime(~pid << 3 | 2)


def test_a_process_that_is_stopped_is_told_from_one_that_runs_now_and_then() -> None:
    with program_running("import time; time.sleep(60)") as still, program_running("while True: pass") as slow:
        stops = Stops(3)
        for pid in (still, slow):
            os.kill(pid, signal.SIGSTOP)
        for _ in range(3):
            eventually(lambda: set(thread_states(still) + thread_states(slow)) == {"T"})
            found = stops.look([still, slow])
            before = spent_ns(slow)
            os.kill(slow, signal.SIGCONT)
            eventually(lambda before=before: spent_ns(slow) != before)  # type: ignore[misc]
            os.kill(slow, signal.SIGSTOP)
        assert found == [still]
        os.kill(still, signal.SIGCONT)
        eventually(lambda: set(thread_states(still)) != {"T"})
        assert stops.look([still]) == []
