"""A real server for tests: every process of it, on a free loopback port."""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import zmq

from app.inference import protocol

_ROOT = Path(__file__).parents[2]
_MAIN = """
import sys
from app import supervisor
from app.processes.linux import renounce_privileges
from app.settings import read_settings
renounce_privileges()  # as in a container, also where root runs the tests
supervisor.token_hex = lambda _: {secret!r}
sys.exit(supervisor.serve(read_settings()))
"""
SECRET = "the secret of the tests"
"""That the workers of a :class:`Server` ask for, in place of one that is new at each start."""
LOG_VARIABLE = "SERVER_LOG"
"""Of the environment: the file to which the log of each :class:`Server` is appended when it has ended."""
_PATIENCE_S = 90.0


class Server:
    """A running service.

    Args:
        environment: on top of this process's; None takes a variable out.

    Attributes:
        log: its lines so far.
        folder: its own for temporary files, so that nothing stays in the system's, however it ends.
    """

    def __init__(self, environment: Mapping[str, str | None]) -> None:
        self.log: list[str] = []
        self.folder = Path(tempfile.mkdtemp(prefix="iqa-test-"))
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        variables = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.folder),
            "IQA_PORT": "0",
            "IQA_LOG_FORMAT": "json",
            "IQA_DRAIN_DELAY_S": "0",
            "IQA_CACHE_BYTES": "0",  # most tests want their images scored
            "IQA_DECODE_PROCESSES": "1",  # a start is quicker; tests of many at once ask for more
            **environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN.format(secret=SECRET)],
            cwd=_ROOT,
            env={name: value for name, value in variables.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read_output, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_ready(self) -> str:
        """The base URL, once the line is printed that says so."""
        line = self._lines.get(timeout=_PATIENCE_S)
        assert "ready at http://" in line, (line, self.log)
        return line.split()[4]

    def wait(self) -> int:
        """The exit code, and the rest of the log with it."""
        code = self.process.wait(_PATIENCE_S)
        for reader in self._readers:
            reader.join(_PATIENCE_S)
        return code

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def children(self, module: str) -> list[int]:
        """Process ids of the children that run a module."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(line.split()[0]) for line in listed.stdout.splitlines() if line.endswith(module)]

    def entries(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in list(self.log) if line.startswith("{")]

    def worker_states(self) -> list[protocol.State]:
        """What the workers say of themselves, asked as an HTTP process asks."""
        sockets = sorted(self.folder.glob("iqa-*/worker-*"))
        return [_state_of(socket) for socket in sockets]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        if kept := os.environ.get(LOG_VARIABLE):
            with Path(kept).open("a") as file:
                file.writelines(self.log)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)


@contextmanager
def running(environment: Mapping[str, str | None]) -> Iterator[tuple[Server, httpx.Client]]:
    """A ready server and a client of it."""
    server = Server(environment)
    try:
        with httpx.Client(base_url=server.wait_ready(), timeout=60) as client:
            yield server, client
    finally:
        server.close()


@contextmanager
def program_running(program: str) -> Iterator[int]:
    """The number of a process that runs a program of Python, which has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"print(flush=True)\n{program}"], stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def eventually(condition: Callable[[], object], patience_s: float = _PATIENCE_S) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def metric(client: httpx.Client, name: str) -> float:
    """The value of a metric, or of one of its series (``name{label="..."}``); 0 where it is not there yet."""
    for line in client.get("/metrics").text.splitlines():
        series, _, value = line.rpartition(" ")
        if series == name:
            return float(value)
    return 0.0


def _state_of(path: Path) -> protocol.State:
    with zmq.Context() as context, context.socket(zmq.DEALER) as asking:
        asking.linger = 0
        asking.plain_username, asking.plain_password = b"test", SECRET.encode()
        asking.connect(f"ipc://{path}")
        asking.send(protocol.HELLO)
        assert asking.poll(int(1000 * _PATIENCE_S)), "the worker does not answer"
        _, header = asking.recv_multipart()
        return protocol.unpack_state(header)
