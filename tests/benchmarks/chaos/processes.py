"""What the processes of a service take from the system, as /proc tells."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.app.running import Server


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
