"""What traces of requests cost: the service with a collector against the service without, in one run.

    python -m tests.benchmarks.tracing [--trace 256x192 512x384] [--rounds 7] [--seconds 8] [--connections 8]

Both run all the time and answer the same files in turns, each as often first as second. Given are the medians
of the rounds' ratios: of throughput, and of the processor time of the service's processes per image. The
latter holds on machines that are busy with other things, too. 1.03 is three percent more with traces. The
collector is the measuring process itself, which passes over what it is sent.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.app.tracing.collector import collecting
from tests.benchmarks.harness import Steps, blocks_for, repeated, saturate
from tests.benchmarks.load import request
from tests.benchmarks.servers import THIS_SERVICE, Server
from tests.benchmarks.traces import make

_PATIENT: Final = {"IQA_TIMEOUT_S": "600", "IQA_QUEUE_PIXELS": str(2**30)}
"""What is measured is work, not rejections."""


@dataclass(frozen=True)
class Turn:
    """One of the two in one round: images per second, and seconds of processors per image."""

    rate: float
    processor_s: float


@dataclass(frozen=True)
class Round:
    """Both, one after the other."""

    off: Turn
    on: Turn

    @property
    def slowdown(self) -> float:
        return self.off.rate / self.on.rate

    @property
    def processor_ratio(self) -> float:
        return self.on.processor_s / self.off.processor_s


def measure(
    off: Server, on: Server, requests: Sequence[bytes], connections: int, rounds: int, seconds: float
) -> list[Round]:
    """Rounds of about so many seconds for each, after one that warms both up."""
    rate = min(_turn(each, requests, connections).rate for each in (off, on))
    asked = repeated(requests, blocks_for(rate, seconds))
    measured = []
    for number in range(rounds):
        order = (off, on) if number % 2 else (on, off)
        turns = {server: _turn(server, asked, connections) for server in order}
        measured.append(Round(turns[off], turns[on]))
    return measured


def report(rounds: Sequence[Round]) -> str:
    """Medians and ratios."""
    off, on = ([getattr(each, name) for each in rounds] for name in ("off", "on"))
    slowdown = statistics.median(each.slowdown for each in rounds)
    processor = statistics.median(each.processor_ratio for each in rounds)
    return "\n".join(
        f"  {name:3} {statistics.median(each.rate for each in turns):8.2f} images/s "
        f"{1000 * statistics.median(each.processor_s for each in turns):8.2f} ms of processors per image"
        for name, turns in (("off", off), ("on", on))
    ) + (
        f"\n  time on / off       {slowdown:.3f} ({_spread([each.slowdown for each in rounds])})"
        f"\n  processors on / off {processor:.3f} ({_spread([each.processor_ratio for each in rounds])})"
    )


def _turn(server: Server, requests: Sequence[bytes], connections: int) -> Turn:
    before = _processor_s(server.pid)
    run = saturate(server, requests, connections)
    return Turn(run.goodput, (_processor_s(server.pid) - before) / len(requests))


def _processor_s(pid: int) -> float:
    """Of a process and all below it, in seconds so far."""
    ticks = 0
    for each in _tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.3f} to {max(values):.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trace", nargs="+", default=["256x192", "512x384"], help="mixed, or sizes")
    parser.add_argument("--rounds", type=int, default=7, help="of each, in turns")
    parser.add_argument("--seconds", type=float, default=8.0, help="about, for one of a round")
    parser.add_argument("--connections", type=int, default=8)
    chosen = parser.parse_args(arguments)
    steps = Steps()
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        collector.keeps = False
        off = stack.enter_context(Server(THIS_SERVICE, {**_PATIENT, "OTEL_SDK_DISABLED": "true"}))
        # As usual, not as in tests: every five seconds, or 512 spans.
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        on = stack.enter_context(Server(THIS_SERVICE, _PATIENT | traced))
        for name in chosen.trace:
            steps(f"{name}: {chosen.rounds} rounds of about {2 * chosen.seconds:g} s")
            requests = [request(upload, form=False) for upload in make(name)]
            rounds = measure(off, on, requests, chosen.connections, chosen.rounds, chosen.seconds)
            print(f"{name}, {chosen.connections} connections, {chosen.rounds} rounds")
            print(report(rounds))
        if not collector.headers:
            print("No trace came to the collector, so nothing was measured.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
