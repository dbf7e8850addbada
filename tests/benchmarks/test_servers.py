"""Servers under measurement: they come up, are halted where they poll, and leave nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.running import eventually
from tests.benchmarks import servers
from tests.benchmarks.servers import Kind, NotReady, Server

pytestmark = pytest.mark.process

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

_STUBBORN = """
import os, signal, subprocess, sys, time
if len(sys.argv) > 1:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
child = subprocess.Popen([sys.executable, __file__, "child"])
print(os.getpid(), child.pid, flush=True)
os._exit(0) if "leave" in os.environ.get("STUBBORN", "") else child.wait()
"""


@pytest.fixture
def stubborn(tmp_path: Path) -> Path:
    """A program with a child that ignores SIGTERM."""
    path = tmp_path / "stubborn.py"
    path.write_text(_STUBBORN)
    return path


def bond(path: Path, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.bond", sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def state(pid: int) -> str:
    """R, S, T (halted), ...; empty where there is no such process, or only what its parent has to bury."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""
    return "" if letter == "Z" else letter


@linux
def test_all_that_was_started_ends_with_the_input(stubborn: Path) -> None:
    with bond(stubborn) as held:
        assert held.stdin is not None
        assert held.stdout is not None
        pids = [int(word) for word in held.stdout.readline().split()]
        assert [bool(state(pid)) for pid in pids] == [True, True]
        held.stdin.close()
        held.wait(30)
        eventually(lambda: not any(state(pid) for pid in pids))


@linux
def test_all_that_was_started_ends_with_the_command(stubborn: Path) -> None:
    with bond(stubborn, STUBBORN="leave") as held:
        assert held.stdout is not None
        _, child = (int(word) for word in held.stdout.readline().split())
        assert held.wait(30) == 0
        eventually(lambda: not state(child))


@linux
def test_it_can_be_halted(stubborn: Path) -> None:
    with bond(stubborn) as held:
        assert held.stdin is not None
        assert held.stdout is not None
        pids = [int(word) for word in held.stdout.readline().split()]
        for command, halted in (("stop", True), ("go", False), ("stop", True)):
            held.stdin.write(f"{command}\n")
            held.stdin.flush()
            eventually(lambda halted=halted: all((state(pid) == "T") == halted for pid in pids))
        held.stdin.close()  # halted as they are
        held.wait(30)
        eventually(lambda: not any(state(pid) for pid in pids))


def test_a_server_that_cannot_start_says_why() -> None:
    kind = Kind("a typo", ("tests.benchmarks.no_such_module",), "/", "/")
    with pytest.raises(NotReady, match=r"a typo ended with 1: [^$]*no_such_module"), Server(kind, {}):
        pass


def test_compact_weights_are_those_that_are_set() -> None:
    with servers.weights("compact") as environment:
        assert environment == {}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot pin processes")
def test_what_is_started_in_it_runs_on_the_cores_named() -> None:
    before = servers.usable_cores()
    command = [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"]
    with servers.pinned(before[-1:]):
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(shown) == [before[-1]]
    assert servers.usable_cores() == before
