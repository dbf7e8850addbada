"""What a running service takes: memory by kind of process, and processor time of an image by its size.

    python -m tests.benchmarks.footprint [--blocks 2] [--connections 16] [--pixels 50000000]
        [--sizes 224x224 512x384 1024x768 4000x3000]

Memory: the proportional share of each process is added up (pages that processes have in common count once):
what a container's limit is held against, but for the kernel's own. It is sampled all the time, and the most
of each phase is told: ready, under load, and with the largest images.

Time: that of all processes, user and system, over the images that were scored; its inverse is images per
second and core. Unlike what a clock says it hardly depends on who else uses the machine. The service is as
its operators start it, with the settings of the environment; the result cache is off.
"""

import argparse
import asyncio
import contextlib
import io
import itertools
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
from PIL import Image

from tests.app.running import Server, running
from tests.benchmarks.chaos.story import service_environment
from tests.benchmarks.load import Target, closed_loop, request
from tests.benchmarks.traces import make
from tests.photographs import named

KINDS = {
    "app.server": "HTTP processes",
    "app.imaging.sandbox": "decoders",
    "app.inference.worker": "workers",
}
SUPERVISOR = "supervisor"
_SAMPLE_S = 0.05
_PATIENCE_S = 120.0

Sample = dict[str, int]
"""Bytes by kind of process."""


def sample(pid: int) -> Sample:
    """Proportional memory of a process and all that it has started, by kind."""
    held: Sample = defaultdict(int)
    for each, kind in _family(pid):
        with contextlib.suppress(OSError):
            held[kind] += _proportional(each)
    return dict(held)


class Most:
    """The most that was seen while its block runs: of all processes together, and of each kind.

    Attributes:
        together: bytes.
        kinds: bytes, each at a moment of its own.
    """

    def __init__(self) -> None:
        self.together = 0
        self.kinds: Sample = {}

    @contextmanager
    def watching(self, server: Server) -> Iterator["Most"]:
        """Samples until the block ends, and once more then."""
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(server.process.pid, ended), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join(_PATIENCE_S)

    def _watch(self, pid: int, ended: threading.Event) -> None:
        last = False
        while not last:
            last = ended.wait(_SAMPLE_S)
            now = sample(pid)
            self.together = max(self.together, sum(now.values()))
            for kind, held in now.items():
                self.kinds[kind] = max(held, self.kinds.get(kind, 0))


def largest(pixels: int) -> Iterator[tuple[str, bytes]]:
    """Files of about so many pixels: a JPEG as cameras make it, and what takes most memory per pixel."""
    photograph = Image.fromarray(named()["coffee"])
    scale = (pixels / (photograph.width * photograph.height)) ** 0.5
    size = (int(photograph.width * scale), int(photograph.height * scale))
    enlarged = photograph.resize(size)
    yield "JPEG", _file(enlarged, "JPEG", quality=80)
    enlarged.putalpha(128)
    yield "WebP with alpha", _file(enlarged, "WEBP", quality=30, method=0)


def measure(
    server: Server, client: httpx.Client, *, trace: str, blocks: int, connections: int, pixels: int
) -> Mapping[str, Most]:
    """What each phase takes at most."""
    phases = {}
    with Most().watching(server) as phases["ready"]:
        pass
    files = make(trace, blocks)
    with Most().watching(server) as phases[f"{trace} trace, {connections} at a time"]:
        load = (request(upload, form=True) for upload in files)
        for answer in asyncio.run(closed_loop(Target.of(str(client.base_url)), load, connections)).answers:
            _require(answer.status)
    for name, data in largest(pixels):
        together = _decoders(server)
        phase = f"{name} of {pixels / 1e6:g} million pixels, {together} at a time"
        with Most().watching(server) as phases[phase], ThreadPoolExecutor(together) as executor:
            # Bytes behind the end make another file of it, so that no request joins another.
            list(executor.map(_post, [client] * together, [data + bytes(n) for n in range(together)]))
    return phases


def costs(
    server: Server, client: httpx.Client, sizes: Sequence[str], *, connections: int
) -> dict[str, dict[str, float]]:
    """Seconds of a core that an image takes of each kind of process, where so many ask at a time.

    By the name of the trace, and by kind.
    """
    target, taken = Target.of(str(client.base_url)), {}
    for size in sizes:
        load = [request(upload, form=True) for upload in make(size, 2)]
        before = _processor_s(server)
        for answer in asyncio.run(closed_loop(target, load, connections)).answers:
            _require(answer.status)
        after = _processor_s(server)
        taken[size] = {kind: (after[kind] - before.get(kind, 0.0)) / len(load) for kind in after}
    return taken


def report_costs(taken: Mapping[str, Mapping[str, float]]) -> str:
    """A table in milliseconds of a core."""
    kinds = (SUPERVISOR, *KINDS.values())
    columns = " ".join(f"{kind:>15}" for kind in kinds)
    lines = [f"{'ms of a core':12} {'together':>9} {columns} {'images/s and core':>18}"]
    for size, spent in taken.items():
        each = " ".join(f"{1000 * spent.get(kind, 0.0):15.1f}" for kind in kinds)
        together = sum(spent.values())
        lines.append(f"{size:12} {1000 * together:9.1f} {each} {1 / together:18.1f}")
    return "\n".join(lines)


def report(phases: Mapping[str, Most]) -> str:
    """A table in megabytes (millions of bytes)."""
    kinds = (SUPERVISOR, *KINDS.values())
    lines = [f"{'megabytes':44} {'together':>9} {' '.join(f'{kind:>15}' for kind in kinds)}"]
    for phase, most in phases.items():
        each = " ".join(f"{most.kinds.get(kind, 0) / 1e6:15.0f}" for kind in kinds)
        lines.append(f"{phase:44} {most.together / 1e6:9.0f} {each}")
    return "\n".join(lines)


def _decoders(server: Server) -> int:
    """How many images the service decodes at a time."""
    return max(1, sum(kind == KINDS["app.imaging.sandbox"] for _, kind in _family(server.process.pid)))


def _family(pid: int) -> Iterator[tuple[int, str]]:
    """A process and all that it has started, with their kinds."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            # The name, in brackets, may hold anything; the parent is the second field after it.
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().split(b"\0")
    for each, command in commands.items():
        if pid in _line(each, parents):
            yield each, _kind(command)


def _processor_s(server: Server) -> dict[str, float]:
    """Of all processes that there are, by kind; none ends while it is measured."""
    spent: dict[str, float] = defaultdict(float)
    for pid, kind in _family(server.process.pid):
        # User and system time are the 14th and 15th field; the second may hold spaces.
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        spent[kind] += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return spent


def _post(client: httpx.Client, data: bytes) -> None:
    _require(client.post("/score", files={"image": data}).status_code)


def _require(status: int) -> None:
    if status != 200:
        raise RuntimeError(f"a request ended with {status}")


def _file(image: Image.Image, format: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _line(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    """A process, its parent, and so on."""
    while pid:
        yield pid
        pid = parents.get(pid, 0)


def _kind(command: list[bytes]) -> str:
    for argument in itertools.islice(command, 1, None):
        if (kind := KINDS.get(argument.decode(errors="replace"))) is not None:
            return kind
    return SUPERVISOR


def _proportional(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--blocks", type=int, default=2, help="of twenty images")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--pixels", type=int, default=50_000_000, help="of the largest images")
    parser.add_argument(
        "--sizes", nargs="+", default=["224x224", "512x384", "1024x768", "4000x3000", "mixed"]
    )
    chosen = parser.parse_args()
    with running({**service_environment(), "IQA_CACHE_BYTES": "0"}) as (server, client):
        load = {"blocks": chosen.blocks, "connections": chosen.connections, "pixels": chosen.pixels}
        print(report(measure(server, client, trace="mixed", **load)))
        print(report_costs(costs(server, client, chosen.sizes, connections=chosen.connections)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
