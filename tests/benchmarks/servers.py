"""Servers under measurement: started on a free loopback port, waited for, ended with all their processes."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.benchmarks.load import Target

PORT: Final = "BENCHMARK_PORT"
"""The variable that tells a server its port."""
_ROOT: Final = Path(__file__).parents[2]
_PATIENCE_S: Final = 180.0
_POLL_S: Final = 0.05
_WEIGHTS: Final = {
    "IQA_QUALICLIP_WEIGHTS": "qualiclip",
    "IQA_BPCLIP_WEIGHTS": "bpclip",
    "IQA_BPCLIP_FR_WEIGHTS": "bpclip-fr",
}


class NotReady(Exception):
    """A server ended, or did not become ready; the message has the end of its log."""


@dataclass(frozen=True)
class Kind:
    """A kind of server.

    Attributes:
        name: for people.
        module: what ``python -m`` runs, with its arguments.
        ready_path: answers 200 once it is ready.
        path: images are posted to.
        polls: whether it is busy while it has nothing to do, so that it has to be halted (as by Ctrl-Z) while
            another one is measured.
    """

    name: str
    module: tuple[str, ...]
    ready_path: str
    path: str
    polls: bool = False


THIS_SERVICE: Final = Kind("this service", ("app.cli", "serve"), "/readyz", "/score")


class Server:
    """A running server, ready inside the ``with`` block.

    Args:
        kind: of server.
        environment: on top of this process's.
        cores: that its processes may use; None for all that this process may.

    Raises:
        NotReady: it could not start.
    """

    def __init__(
        self, kind: Kind, environment: Mapping[str, str], cores: Sequence[int] | None = None
    ) -> None:
        self.kind = kind
        self.target = Target("127.0.0.1", _free_port())
        self._environment = environment
        self._cores = cores

    def __enter__(self) -> Self:
        # Of its own, so that sockets and the like go with it, however it ends.
        self._folder = tempfile.TemporaryDirectory(prefix="iqa-benchmark-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name, "log")
        with self._log.open("wb") as log, pinned(self._cores):
            self._bond = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.bond", sys.executable, "-m", *self.kind.module],
                cwd=_ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": str(_ROOT),
                    "TMPDIR": self._folder.name,
                    PORT: str(self.target.port),
                    "IQA_HOST": self.target.host,
                    "IQA_PORT": str(self.target.port),
                    "IQA_LOG_LEVEL": "warning",
                    "IQA_CACHE_BYTES": "0",  # the same images are sent again and again
                    **self._environment,
                },
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is for the benchmark
            )
        try:
            self._wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the process above all of its processes."""
        return self._bond.pid

    def close(self) -> None:
        """Ends all its processes."""
        assert self._bond.stdin is not None
        self._bond.stdin.close()
        self._bond.wait()
        self._folder.cleanup()

    @contextmanager
    def awake(self) -> Iterator[None]:
        """The block in which it is to answer; afterwards it sleeps."""
        self._tell("go")
        try:
            yield
        finally:
            self.sleep()

    def sleep(self) -> None:
        """Halts it until it is measured, if it is one that polls."""
        self._tell("stop")

    def _tell(self, command: str) -> None:
        assert self._bond.stdin is not None
        if self.kind.polls:
            self._bond.stdin.write(f"{command}\n".encode())
            self._bond.stdin.flush()

    def _wait_ready(self) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not self._is_ready():
            if (code := self._bond.poll()) is not None:
                raise NotReady(f"{self.kind.name} ended with {code}: {self.log_end()}")
            if time.monotonic() > end:
                raise NotReady(f"{self.kind.name} is not ready after {_PATIENCE_S:g} s: {self.log_end()}")
            time.sleep(_POLL_S)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self.target.host, self.target.port, timeout=5)
        try:
            connection.request("GET", self.kind.ready_path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def log_end(self) -> str:
        """The last of what it wrote."""
        return self._log.read_text(errors="replace")[-2000:]


def usable_cores() -> tuple[int, ...]:
    """Cores that this process may use, by number; where the system cannot tell, all that there are."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


@contextmanager
def pinned(cores: Sequence[int] | None) -> Iterator[None]:
    """Runs the block, and what is started in it, on these cores only; None changes nothing."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def weights(size: str) -> Iterator[dict[str, str]]:
    """The settings for weights of a size: ``compact``, those bundled or set; ``full``, untrained ones.

    The files of the latter exist as long as the block.
    """
    if size == "compact":
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="iqa-untrained-") as folder:
        # A process of its own: this one generates load, and is better off without torch.
        subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.untrained", folder],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        yield {
            "IQA_ALLOW_UNTRAINED": "true",
            **{name: f"{folder}/{model}-untrained.safetensors" for name, model in _WEIGHTS.items()},
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
