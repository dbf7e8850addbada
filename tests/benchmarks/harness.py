"""What the programs that start servers have in common: options, rounds, the check of answers."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from tests.benchmarks.load import Report, closed_loop, open_loop
from tests.benchmarks.servers import Server, usable_cores
from tests.benchmarks.traces import BLOCK

T = TypeVar("T")

_MOST_BLOCKS = 200


class WrongAnswers(Exception):
    """A server refused or lost requests in a run in which it should not; the message counts them."""


@dataclass(frozen=True)
class Plan:
    """How to measure; see :func:`parser` for the meaning of each."""

    sizes: tuple[str, ...]
    traces: tuple[str, ...]
    connections: int
    rounds: int
    seconds: float
    open_seconds: float
    share: float
    threads: int
    server_cores: tuple[int, ...]
    load_cores: tuple[int, ...]
    seed: int
    out: Path | None

    @property
    def environment(self) -> dict[str, str]:
        """What every server is told."""
        return {
            "IQA_THREADS": str(self.threads),
            "OMP_NUM_THREADS": str(self.threads),
            # What is measured here is work, not refusals; the rivals refuse nothing either.
            "IQA_TIMEOUT_S": "600",
            "IQA_QUEUE_PIXELS": str(2**30),
        }

    def describe(self) -> str:
        """Who computes where."""
        return (
            f"servers on cores {_named(self.server_cores)} with {self.threads} threads of torch each, "
            f"load from cores {_named(self.load_cores)}, {self.connections} connections"
        )


def parser(description: str, traces: Sequence[str], seconds: float) -> argparse.ArgumentParser:
    """The options that all have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--size", nargs="+", choices=("compact", "full"), default=["compact", "full"], help="of the models"
    )
    made.add_argument("--trace", nargs="+", default=list(traces), help="mixed, or sizes such as 512x384")
    made.add_argument("--connections", type=int, default=16, help="of the closed loops")
    made.add_argument("--rounds", type=int, default=3, help="of closed loops, taken in turns")
    made.add_argument("--seconds", type=float, default=seconds, help="about, for a closed loop")
    made.add_argument("--open-seconds", type=float, default=15.0, help="about, for an open loop")
    made.add_argument("--share", type=float, default=0.7, help="of the capacity that open loops ask for")
    made.add_argument("--threads", type=int, help="of torch; by default as many as the servers have cores")
    made.add_argument("--server-cores", type=_cores, default=usable_cores(), help="such as 0,1 or 0-7")
    made.add_argument("--load-cores", type=_cores, default=usable_cores(), help="likewise, of the generator")
    made.add_argument("--seed", type=int, default=0, help="of traces and arrivals")
    made.add_argument("--quick", action="store_true", help="one short round of each: a trial, not a figure")
    made.add_argument("--out", type=Path, help="JSON file for all figures")
    return made


def plan(chosen: argparse.Namespace) -> Plan:
    """The plan of parsed options."""
    quick = chosen.quick
    return Plan(
        sizes=tuple(chosen.size),
        traces=tuple(chosen.trace),
        connections=chosen.connections,
        rounds=1 if quick else chosen.rounds,
        seconds=0.0 if quick else chosen.seconds,
        open_seconds=0.0 if quick else chosen.open_seconds,
        share=chosen.share,
        threads=chosen.threads or len(chosen.server_cores),
        server_cores=chosen.server_cores,
        load_cores=chosen.load_cores,
        seed=chosen.seed,
        out=chosen.out,
    )


def blocks_for(rate: float, seconds: float) -> int:
    """How many blocks of a trace take about `seconds` at `rate` images per second; at least one."""
    return min(_MOST_BLOCKS, max(1, round(rate * seconds / BLOCK)))


def repeated(trace: Sequence[T], blocks: int) -> list[T]:
    """So many blocks of a trace, from its beginning again where it ends."""
    return list(islice(cycle(trace), blocks * BLOCK))


def saturate(
    server: Server, requests: Sequence[bytes], connections: int, *, keep_bodies: bool = False
) -> Report:
    """A closed loop in which every answer is to be good.

    Raises:
        WrongAnswers: one was not.
    """
    with server.awake():
        report = asyncio.run(closed_loop(server.target, requests, connections, keep_bodies=keep_bodies))
    if len(report.good) < len(requests):
        raise WrongAnswers(
            f"{server.kind.name} gave answers of status {report.statuses}. {server.log_end()}".strip()
        )
    return report


def load(server: Server, requests: Sequence[bytes], rate: float, seed: int, patience_s: float) -> Report:
    """An open loop; what a server that is too slow leaves unanswered is in the report."""
    with server.awake():
        return asyncio.run(open_loop(server.target, requests, rate, seed=seed, patience_s=patience_s))


class Steps:
    """Says what is being done, on standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    def __call__(self, text: str) -> None:
        self._console.print(text, style="dim")


def _cores(text: str) -> tuple[int, ...]:
    cores: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        cores += range(int(first), int(last or first) + 1)
    return tuple(cores)


def _named(cores: Sequence[int]) -> str:
    return ",".join(map(str, cores))
