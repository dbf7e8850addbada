"""This service beside three rivals, in one run.

    python -m tests.benchmarks.rivals [--size compact full] [--trace mixed] [--quick] [--out FILE] ...

All four get the same weights, the same requests (a form with an image file), the same cores and, together,
as many threads of torch; decoding is included; all answer both no-reference scores as JSON.

First each answers the same files, and the scores are compared: they must be about the same. Then closed
loops in turns, a whole number of blocks of the trace each time, give the throughput. Last an open loop for
each, with the same arrivals and the same load: a share of what the slower of this service and the fair rival
can do.

A server that polls its queue while it has nothing to do (LitServe's do) is halted while another is measured.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.benchmarks import report, servers
from tests.benchmarks.harness import Plan, Steps, blocks_for, load, parser, plan, repeated, saturate
from tests.benchmarks.load import Report, percentile, request
from tests.benchmarks.rivals.options import BATCH, WORKERS
from tests.benchmarks.servers import THIS_SERVICE, Kind, Server
from tests.benchmarks.traces import BLOCK, Upload, make

NAIVE: Final = Kind("FastAPI, naive", ("tests.benchmarks.rivals.naive",), "/health", "/score")
LITSERVE: Final = Kind(
    "LitServe, plain model", ("tests.benchmarks.rivals.litserve_plain",), "/health", "/predict", polls=True
)
FAIR: Final = Kind(
    "LitServe, our engine", ("tests.benchmarks.rivals.litserve_engine",), "/health", "/predict", polls=True
)
KINDS: Final = (NAIVE, LITSERVE, FAIR, THIS_SERVICE)

_AGREEMENT: Final = 0.05
"""Scores further apart are not those of the same models on the same images; half precision may make 0.01."""
_PATIENCE_S: Final = 60.0
"""How long an answer is waited for in an open loop."""
_OVERLOADED_PATIENCE_S: Final = 10.0
"""Likewise, of those for which the load may be too much, so that it would take for ever."""


class Disagreement(Exception):
    """The servers do not give the same scores; the message says how far they are apart."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser("This service beside a naive endpoint and LitServe.", ("mixed",), 5.0)
    options.add_argument("--litserve-batch", type=int, default=8, help="most requests of LitServe's batches")
    options.add_argument("--litserve-workers", type=int, default=1, help="inference processes of LitServe")
    chosen = options.parse_args(arguments)
    how, steps = plan(chosen), Steps()
    steps(how.describe())
    lit = {
        BATCH: str(chosen.litserve_batch),
        WORKERS: str(chosen.litserve_workers),
        # Its processes share the threads that the others have for themselves.
        "IQA_THREADS": str(max(1, how.threads // chosen.litserve_workers)),
    }
    results: list[dict[str, Any]] = []
    for size in how.sizes:
        with servers.weights(size) as weights:
            for name in how.traces:
                trace = make(name, seed=how.seed)
                with ExitStack() as stack:
                    steps(f"{size}, {name}: starting {len(KINDS)} servers")
                    stack.enter_context(servers.pinned(how.load_cores))
                    running = {}
                    for kind in KINDS:
                        environment = {**weights, **how.environment, **(lit if kind.polls else {})}
                        running[kind] = stack.enter_context(Server(kind, environment, how.server_cores))
                        running[kind].sleep()
                    results.append({"size": size, "trace": name, **_side_by_side(running, trace, how, steps)})
    console = Console(width=118)
    for each in results:
        console.print(_table(each))
    report.save(how.out, {"plan": {**asdict(how), "out": None}, "litserve": lit, "results": results})


def _side_by_side(
    running: Mapping[Kind, Server], trace: Sequence[Upload], how: Plan, steps: Steps
) -> dict[str, Any]:
    requests = {kind: [request(upload, kind.path) for upload in trace] for kind in running}
    # This warms up, too: each size for the first time.
    apart = _compare_scores(running, requests, how, steps)
    trial = saturate(running[THIS_SERVICE], repeated(requests[THIS_SERVICE], 1), how.connections)
    blocks = blocks_for(trial.goodput, how.seconds)
    closed: dict[Kind, list[Report]] = {kind: [] for kind in running}
    for number in range(how.rounds):
        for kind, server in running.items():
            closed[kind].append(saturate(server, repeated(requests[kind], blocks), how.connections))
            steps(
                f"  round {number + 1} of {how.rounds}, {blocks * BLOCK} images: "
                f"{kind.name} {closed[kind][-1].goodput:.2f} images/s"
            )
    capacity = {kind: statistics.median(each.goodput for each in closed[kind]) for kind in running}
    rate = how.share * min(capacity[FAIR], capacity[THIS_SERVICE])
    arrivals = blocks_for(rate, how.open_seconds)
    opened: dict[Kind, list[Report]] = {kind: [] for kind in running}
    # Those that are compared take turns; the others last, and once, since they may be left with a queue.
    for kind in (*[FAIR, THIS_SERVICE] * max(1, how.rounds - 1), LITSERVE, NAIVE):
        data = repeated(requests[kind], arrivals)
        seed = how.seed + len(opened[kind])
        patience_s = _PATIENCE_S if kind in (FAIR, THIS_SERVICE) else _OVERLOADED_PATIENCE_S
        opened[kind].append(load(running[kind], data, rate, seed, patience_s))
        steps(
            f"  open loop, {len(data)} arrivals at {rate:.2f} a second: {kind.name} p99 "
            f"{1000 * opened[kind][-1].latency_s(0.99):.0f} ms, statuses {opened[kind][-1].statuses}"
        )
        if kind in (LITSERVE, NAIVE):
            running[kind].close()
    return {
        "rate": rate,
        "scores_apart": apart,
        "servers": {
            kind.name: {
                "images_per_s": capacity[kind],
                "closed": [each.summary() for each in closed[kind]],
                "open": [each.summary() for each in opened[kind]],
                **_percentiles(opened[kind]),
            }
            for kind in running
        },
    }


def _percentiles(reports: Sequence[Report]) -> dict[str, float | None]:
    """Latency over all arrivals, in milliseconds; None where so many had no good answer."""
    latencies = [
        1000 * answer.latency_s if answer.status == 200 else math.inf
        for each in reports
        for answer in each.answers
    ]
    found = {f"p{share}_ms": percentile(latencies, share / 100) for share in (50, 95, 99)}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def _compare_scores(
    running: Mapping[Kind, Server], requests: Mapping[Kind, Sequence[bytes]], how: Plan, steps: Steps
) -> float:
    """The most that any score of a block of images is away from the naive endpoint's, which is float32.

    Raises:
        Disagreement: that is too much.
    """
    scores: dict[Kind, dict[tuple[int, str], float]] = {}
    for kind, server in running.items():
        asked = saturate(server, requests[kind][:BLOCK], how.connections, keep_bodies=True)
        scores[kind] = {
            (answer.number, model): score
            for answer in asked.answers
            for model, score in _scores(json.loads(answer.body)).items()
        }
    if len({frozenset(each) for each in scores.values()}) > 1:
        raise Disagreement("The servers did not score the same images by the same models.")
    apart = {
        kind.name: max(abs(score - scores[NAIVE][key]) for key, score in each.items())
        for kind, each in scores.items()
    }
    if max(apart.values()) > _AGREEMENT:
        raise Disagreement(f"Scores are up to {max(apart.values()):.3f} apart: {apart}")
    steps(f"  scores of {BLOCK} images are at most {max(apart.values()):.4f} apart")
    return max(apart.values())


def _scores(answer: dict[str, Any]) -> dict[str, float]:
    if "models" not in answer:
        return answer
    return {name: model["score"] for name, model in answer["models"].items()}


def _table(result: dict[str, Any]) -> Table:
    """Throughput and latency of all four, side by side."""
    title = (
        f"{result['size']}, {result['trace']}: closed loop, and open loop at {result['rate']:.2f} a second"
    )
    table = Table("server", "images/s", "this service is", "p50", "p95", "p99", "answered", title=title)
    own = result["servers"][THIS_SERVICE.name]["images_per_s"]
    for name, figures in result["servers"].items():
        sent = sum(each["sent"] + each["unsent"] for each in figures["open"])
        good = sum(each["statuses"].get("200", 0) for each in figures["open"])
        faster = own / figures["images_per_s"]
        table.add_row(
            name,
            f"{figures['images_per_s']:.2f}",
            "" if name == THIS_SERVICE.name else f"{faster:.2f} times as fast",
            *(_shown(figures[f"p{share}_ms"]) for share in (50, 95, 99)),
            f"{good} of {sent}",
        )
    return table


def _shown(milliseconds: float | None) -> str:
    return "never" if milliseconds is None else f"{milliseconds:.0f} ms"


if __name__ == "__main__":
    main()
