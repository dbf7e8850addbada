"""What the processes of a service take from the system, as /proc tells."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.app.running import Server, running
from tests.benchmarks.chaos.story import Environment

Service = Environment | tuple[Server, httpx.Client]
"""Where a story is told: on a server of its own with these settings, or on one that runs already."""


@contextmanager
def service_of(service: Service) -> Iterator[tuple[Server, httpx.Client]]:
    """A running server and a client of it."""
    if isinstance(service, tuple):
        yield service
        return
    with running(service) as both:
        yield both


@dataclass(frozen=True)
class Footprint:
    """One process.

    Attributes:
        name: for people.
        pid: of it.
        resident: memory, in bytes.
        proportional: likewise, each page divided by the processes that share it.
        files: how many are open.
    """

    name: str
    pid: int
    resident: int
    proportional: int
    files: int


def footprints(server: Server) -> dict[str, Footprint]:
    """Of every process of a service, by name."""
    return {name: _footprint(name, pid) for name, pid in _processes(server)}


def _processes(server: Server) -> Iterator[tuple[str, int]]:
    yield "supervisor", server.process.pid
    for kind, module in (("http", "app.server"), ("worker", "app.inference.worker")):
        for number, pid in enumerate(sorted(server.children(module))):
            yield f"{kind} {number}", pid


def _footprint(name: str, pid: int) -> Footprint:
    folder = Path(f"/proc/{pid}")
    sizes: dict[str, int] = {}
    for line in (folder / "smaps_rollup").read_text().splitlines()[1:]:
        field, value, _ = line.split()
        sizes[field.rstrip(":")] = 1024 * int(value)
    return Footprint(name, pid, sizes["Rss"], sizes["Pss"], len(os.listdir(folder / "fd")))  # noqa: PTH208


def decoders_of(server: Server) -> list[int]:
    """The processes that decode images, of all HTTP processes."""
    return [
        pid for front in server.children("app.server") for pid in _children(front, b"app.imaging.sandbox")
    ]


def _children(parent: int, module: bytes) -> list[int]:
    """Those that run a module, started by any thread of a process."""
    found = []
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in map(int, path.read_text().split()):
                with contextlib.suppress(OSError):
                    if module in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.append(pid)
    return found


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Processes that get no time of a processor while the block runs."""
    tell_all(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        tell_all(pids, signal.SIGCONT)


def tell_all(pids: Sequence[int], number: signal.Signals) -> None:
    """Sends a signal to those of the processes that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
