"""Two replicas behind the load balancer: how evenly it shares the work, and what they reach against one.

    python -m tests.benchmarks.balancer [--requests 2000] [--rounds 3] [--round-requests 160] [--out FILE]

Two replicas of one thread each stand behind HAProxy with docker/haproxy.cfg. Of a trace of mixed images, each
counts the pixels that went through its networks (``iqa_useful_pixels_total``). Then they and one replica of
two threads, which is asked directly, answer the same files in turns; the ratio is the rounds' median.
"""

import argparse
import asyncio
import re
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import httpx

from tests.app.running import Server
from tests.benchmarks import report
from tests.benchmarks.harness import Steps, WrongAnswers
from tests.benchmarks.load import Report, Target, closed_loop, request
from tests.benchmarks.traces import make
from tests.docker.balancing import ADDRESSES, Balancer, begun, free_ports

_LONE = "127.0.0.1"
_USEFUL = re.compile(r"^iqa_useful_pixels_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Figures:
    """What was measured.

    Attributes:
        requests: of the trace that the replicas shared.
        pixels: that each of them processed.
        two: images per second of two replicas of one thread each, by round.
        one: likewise of one replica of two threads.
    """

    requests: int
    pixels: tuple[float, ...]
    two: tuple[float, ...]
    one: tuple[float, ...]

    @property
    def apart(self) -> float:
        """How far the pixels of the replicas are apart, as a share of their mean."""
        return (max(self.pixels) - min(self.pixels)) / statistics.mean(self.pixels)

    @property
    def ratio(self) -> float:
        """What two replicas reach of one with as many threads: the median over the rounds."""
        return statistics.median(two / one for two, one in zip(self.two, self.one, strict=True))


def measure(
    environment: Mapping[str, str],
    trace: Sequence[bytes],
    *,
    requests: int,
    rounds: int,
    round_requests: int,
    connections: int,
    steps: Steps,
) -> Figures:
    """Starts three replicas and HAProxy, and measures.

    Args:
        environment: of the replicas, on top of this process's.
        trace: the requests, which are repeated where they do not suffice.
        requests: how many of them two replicas share.
        rounds: of the comparison with one.
        round_requests: in each.
        connections: of the closed loops.
        steps: is told of what is done.

    Raises:
        WrongAnswers: one was not good.
    """
    (port,) = free_ports(ADDRESSES[0])
    patient = {"IQA_TIMEOUT_S": "600", "IQA_QUEUE_PIXELS": str(2**30), "IQA_LOG_LEVEL": "warning"}
    with ExitStack() as stack:
        servers: list[Server] = []
        for address, threads in ((ADDRESSES[0], "1"), (ADDRESSES[1], "1"), (_LONE, "2")):
            own = {"IQA_THREADS": threads, "OMP_NUM_THREADS": threads}
            servers.append(begun(address, port, {**patient, **environment, **own}))
            stack.callback(servers[-1].close)
        lone = Target.of([server.wait_ready() for server in servers][-1])
        balancer = stack.enter_context(Balancer(port))
        balancer.wait_for(*ADDRESSES)
        pair = Target.of(balancer.url)
        steps("warming up")
        for target in (pair, lone):
            _ask(target, trace[:round_requests], connections)
        steps(f"{requests} requests, shared by two replicas")
        before = _pixels(port)
        _ask(pair, list(islice(cycle(trace), requests)), connections)
        pixels = tuple(now - then for now, then in zip(_pixels(port), before, strict=True))
        steps("pixels of each: " + ", ".join(f"{each:.0f}" for each in pixels))
        two, one = [], []
        some = list(islice(cycle(trace), round_requests))
        for number in range(rounds):
            two.append(_ask(pair, some, connections).goodput)
            one.append(_ask(lone, some, connections).goodput)
            steps(f"round {number + 1} of {rounds}: two {two[-1]:.2f}, one {one[-1]:.2f} images/s")
    return Figures(requests, pixels, tuple(two), tuple(one))


def _ask(target: Target, requests: Sequence[bytes], connections: int) -> Report:
    answered = asyncio.run(closed_loop(target, requests, connections))
    if len(answered.good) < len(requests):
        raise WrongAnswers(f"Answers of status {answered.statuses}.")
    return answered


def _pixels(port: int) -> tuple[float, ...]:
    """What each replica behind the balancer has processed so far."""
    texts = [httpx.get(f"http://{address}:{port}/metrics", timeout=60).text for address in ADDRESSES]
    return tuple(float(value) for text in texts for value in _USEFUL.findall(text))


def lines(figures: Figures) -> list[str]:
    """The figures for people."""
    shares = " and ".join(f"{pixels / 1e6:.1f}" for pixels in figures.pixels)
    return [
        f"{figures.requests} requests: {shares} million pixels, {100 * figures.apart:.1f} % apart",
        f"two replicas of one thread  {statistics.median(figures.two):7.2f} images/s",
        f"one replica of two threads  {statistics.median(figures.one):7.2f} images/s",
        f"ratio                       {100 * figures.ratio:7.0f} %",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trace", default="mixed", help="mixed, or a size such as 512x384")
    parser.add_argument("--blocks", type=int, default=5, help="of different files, 20 each")
    parser.add_argument("--requests", type=int, default=2000, help="that two replicas share")
    parser.add_argument("--rounds", type=int, default=3, help="of two replicas against one, in turns")
    parser.add_argument("--round-requests", type=int, default=160)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    chosen = parser.parse_args(arguments)
    uploads = make(chosen.trace, blocks=chosen.blocks, seed=chosen.seed)
    figures = measure(
        {},
        [request(upload) for upload in uploads],
        requests=chosen.requests,
        rounds=chosen.rounds,
        round_requests=chosen.round_requests,
        connections=chosen.connections,
        steps=Steps(),
    )
    print("\n".join(lines(figures)))
    report.save(chosen.out, {**asdict(figures), "apart": figures.apart, "ratio": figures.ratio})


if __name__ == "__main__":
    main()
