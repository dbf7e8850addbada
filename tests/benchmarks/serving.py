"""The service over HTTP against its engine's ceiling, in one run; and what it adds to a lone request.

    python -m tests.benchmarks.serving [--size compact full] [--trace mixed 512x384] [--quick] [--out FILE]

For each size of the models and each trace: a process with the ceiling (:mod:`tests.benchmarks.ceiling`) and
the service are started with the same settings on the same cores. They answer the same files in turns, a
whole number of blocks each time; the medians of the rounds are compared. The closed loop keeps as many
requests on the way as the ceiling keeps images. Then an open loop at a share of the service's own capacity,
and requests one at a time: what comes on top of decoding and inference, by the answer's own ``timing_ms``
and by the client's clock.
"""

import json
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks import ceiling, report, servers
from tests.benchmarks.ceiling import Remote
from tests.benchmarks.harness import Plan, Steps, blocks_for, load, parser, plan, repeated, saturate
from tests.benchmarks.load import request
from tests.benchmarks.servers import THIS_SERVICE, Server
from tests.benchmarks.traces import BLOCK, Upload, make

_ALONE = ("224x224", "512x384")
"""Sizes of lone requests."""
_ALONE_ROUNDS = 3
_PATIENCE_S = 60.0


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser("The service against its engine's ceiling.", ("mixed", "512x384"), 6.0)
    options.add_argument("--body", choices=("form", "raw"), default="form", help="how images are sent")
    options.add_argument("--alone", type=int, default=30, help="lone requests of each size")
    chosen = options.parse_args(arguments)
    how, steps = plan(chosen), Steps()
    steps(how.describe())
    traces: list[dict[str, Any]] = []
    alone: list[dict[str, Any]] = []
    for size in how.sizes:
        with ExitStack() as stack:
            steps(f"{size}: starting the service and a process with the ceiling")
            environment = {**stack.enter_context(servers.weights(size)), **how.environment}
            stack.enter_context(servers.pinned(how.load_cores))
            server = stack.enter_context(Server(THIS_SERVICE, environment, how.server_cores))
            engine = stack.enter_context(ceiling.remote(environment, how.server_cores))
            about = {"size": size, **engine.about, "body": chosen.body}
            for name in how.traces:
                steps(f"{size}, {name}: warming up")
                trace = make(name, seed=how.seed)
                figures = _against(server, engine, trace, how, chosen.body == "form", steps)
                traces.append({**about, "trace": name, **figures})
            alone += [{**about, **each} for each in _alone(server, engine, how, chosen, steps)]
    console = Console(width=118)
    for table in (_saturation_table(traces), _open_table(traces), _alone_table(alone)):
        console.print(table)
    report.save(how.out, {"plan": {**asdict(how), "out": None}, "traces": traces, "alone": alone})


def _against(
    server: Server, engine: Remote, trace: Sequence[Upload], how: Plan, form: bool, steps: Steps
) -> dict[str, Any]:
    """Both on one trace: saturation in turns, then an open loop."""
    requests = [request(upload, form=form) for upload in trace]
    # Each size for the first time, in company and alone: some of what is computed for a size is kept.
    saturate(server, repeated(requests, 1), how.connections)
    rate = engine.run(repeated(trace, 1), how.connections).rate
    blocks = blocks_for(rate, how.seconds)
    runs, reports = [], []
    for number in range(how.rounds):
        runs.append(engine.run(repeated(trace, blocks), how.connections))
        reports.append(saturate(server, repeated(requests, blocks), how.connections))
        steps(
            f"  round {number + 1} of {how.rounds}, {blocks * BLOCK} images: ceiling {runs[-1].rate:.2f}, "
            f"service {reports[-1].goodput:.2f} images/s"
        )
    capacity = statistics.median(each.goodput for each in reports)
    rate = how.share * capacity
    loaded = load(server, repeated(requests, blocks_for(rate, how.open_seconds)), rate, how.seed, _PATIENCE_S)
    steps(f"  open loop, {rate:.2f} a second: p99 {1000 * loaded.latency_s(0.99):.0f} ms")
    ratios = [each.goodput / run.rate for run, each in zip(runs, reports, strict=True)]
    return {
        "ceiling": [{**asdict(run), "rate": run.rate} for run in runs],
        "closed": [each.summary() for each in reports],
        "ceiling_rate": statistics.median(run.rate for run in runs),
        "service_rate": capacity,
        "ratio": statistics.median(ratios),
        "open": {"rate": rate, **loaded.summary()},
    }


def _alone(server: Server, engine: Remote, how: Plan, chosen: Any, steps: Steps) -> list[dict[str, Any]]:
    """What a lone request takes beyond decoding and inference; medians in milliseconds."""
    figures = []
    each = max(1, chosen.alone // _ALONE_ROUNDS)
    for name in _ALONE:
        uploads = make(name, blocks=1, seed=how.seed)
        requests = [request(upload, form=chosen.body == "form") for upload in uploads]
        saturate(server, requests[:3], 1)
        engine.alone(uploads[:3])
        in_process: list[float] = []
        client: list[float] = []
        by_client: list[float] = []
        by_server: list[float] = []
        queue: list[float] = []
        for _ in range(_ALONE_ROUNDS):
            in_process += engine.alone(repeated(uploads, -(-each // BLOCK))[:each]).total_ms
            asked = saturate(server, repeated(requests, -(-each // BLOCK))[:each], 1, keep_bodies=True)
            for answer in asked.answers:
                timing = json.loads(answer.body)["timing_ms"]
                work = timing["decode"] + timing["inference"]
                client.append(1000 * answer.latency_s)
                by_client.append(client[-1] - work)
                by_server.append(timing["total"] - work)
                queue.append(timing["queue"])
        figures.append({
            "image": name,
            "requests": len(client),
            "in_process_ms": statistics.median(in_process),
            "client_ms": statistics.median(client),
            "added_by_client_ms": statistics.median(by_client),
            "added_by_server_ms": statistics.median(by_server),
            "queue_ms": statistics.median(queue),
        })  # fmt: skip
        steps(f"  lone requests of {name}: {figures[-1]['added_by_client_ms']:.2f} ms added")
    return figures


def _saturation_table(results: Sequence[dict[str, Any]]) -> Table:
    table = Table(
        "models", "trace", "ceiling", "service", "service / ceiling", "batch", "padding", "generator",
        title="Saturation: images/s, medians of rounds in turns; the ceiling's batches; the generator's CPU",
    )  # fmt: skip
    for each in results:
        run = each["ceiling"][-1]
        table.add_row(
            each["size"],
            each["trace"],
            f"{each['ceiling_rate']:.2f}",
            f"{each['service_rate']:.2f}",
            f"{100 * each['ratio']:.0f} %",
            f"{run['images'] / run['batches']:.1f}",
            f"{100 * run['padding']:.0f} %",
            f"{100 * each['closed'][-1]['generator_cpu_share']:.1f} %",
        )
    return table


def _open_table(results: Sequence[dict[str, Any]]) -> Table:
    table = Table(
        "models", "trace", "arrivals/s", "goodput/s", "p50", "p95", "p99", "statuses", "sent late (p99)",
        title="Open loop: latency from the moment a request was due",
    )  # fmt: skip
    for each in results:
        loaded = each["open"]
        table.add_row(
            each["size"],
            each["trace"],
            f"{loaded['rate']:.2f}",
            f"{loaded['goodput']:.2f}",
            *(f"{loaded[f'p{share}_ms']:.0f} ms" for share in (50, 95, 99)),
            ", ".join(f"{number} x {status}" for status, number in loaded["statuses"].items()),
            f"{loaded['generator_lateness_p99_ms']:.1f} ms",
        )
    return table


def _alone_table(results: Sequence[dict[str, Any]]) -> Table:
    table = Table(
        "models", "image", "in process", "by HTTP", "added, by the client's clock", "by timing_ms",
        "of that, queue",
        title="One request at a time (medians); added is what is neither decoding nor inference",
    )  # fmt: skip
    for each in results:
        table.add_row(
            each["size"],
            each["image"],
            f"{each['in_process_ms']:.1f} ms",
            f"{each['client_ms']:.1f} ms",
            f"{each['added_by_client_ms']:.2f} ms",
            f"{each['added_by_server_ms']:.2f} ms",
            f"{each['queue_ms']:.2f} ms",
        )
    return table


if __name__ == "__main__":
    main()
