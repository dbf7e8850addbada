"""The service against its engine's ceiling, and lone requests: the part of a measurement that uses HTTP."""

import http.client
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.benchmarks import ceiling
from tests.benchmarks.ceiling import Remote
from tests.benchmarks.gpu import card
from tests.benchmarks.gpu.parts import Findings, Setup
from tests.benchmarks.harness import blocks_for, repeated, saturate
from tests.benchmarks.load import request
from tests.benchmarks.servers import THIS_SERVICE, Server
from tests.benchmarks.traces import make


def measure(setup: Setup) -> Findings:
    """For each trace: throughput of ceiling and service in turns, and the latency of a lone request."""
    with ExitStack() as stack:
        server = stack.enter_context(Server(THIS_SERVICE, setup.environment))
        engine = stack.enter_context(ceiling.remote(setup.environment))
        for trace in setup.traces:
            yield trace, _one(server, engine, trace, setup)


def _one(server: Server, engine: Remote, trace: str, setup: Setup) -> dict[str, Any]:
    uploads = make(trace, blocks=1)
    requests = [request(upload) for upload in uploads]
    # Each size for the first time, in company and alone.
    saturate(server, requests, setup.connections)
    lone_rate = saturate(server, requests, 1).goodput
    ceiling_rate = engine.run(uploads, setup.connections).rate
    blocks = blocks_for(ceiling_rate, setup.seconds)
    runs, reports, loads = [], [], []
    for _ in range(setup.rounds):
        runs.append(engine.run(repeated(uploads, blocks), setup.connections))
        with card.watched(setup.device) as load, _totals(server) as totals:
            report = saturate(server, repeated(requests, blocks), setup.connections)
        reports.append(report)
        loads.append({**load.figures(), **_shares(totals, report.seconds, engine.about["decode_processes"])})
    lone = saturate(server, repeated(requests, blocks_for(lone_rate, setup.seconds)), 1)
    return {
        "ceiling": statistics.median(run.rate for run in runs),
        "service": statistics.median(report.goodput for report in reports),
        "ratio": statistics.median(
            report.goodput / run.rate for run, report in zip(runs, reports, strict=True)
        ),
        "images": blocks * len(uploads),
        "padding": runs[-1].padding,
        **loads[-1],
        "lone_requests": len(lone.answers),
        "lone_p50_ms": 1000 * lone.latency_s(0.5),
        "lone_p99_ms": 1000 * lone.latency_s(0.99),
        "dtypes": engine.about["dtypes"],
    }


def _shares(totals: Mapping[str, float], seconds: float, decoders: int) -> dict[str, float]:
    """What the metrics of the service say of a run."""
    decode_s, inference_s = totals["iqa_decode_seconds_sum"], totals["iqa_inference_seconds_sum"]
    return {
        "busy_share": inference_s / seconds,
        "decoders_busy_share": decode_s / (seconds * decoders),
        "decode_share": decode_s / (decode_s + inference_s),
        "batch_images": totals["iqa_batch_images_sum"] / totals["iqa_batch_images_count"],
        "memory_mib": totals["iqa_device_memory_bytes"] / 2**20,
    }


@contextmanager
def _totals(server: Server) -> Iterator[Mapping[str, float]]:
    """By how much the service's metrics rise in the block; of memory, how much there is after it."""
    before, totals = _metrics(server), dict[str, float]()
    yield totals
    after = _metrics(server)
    totals |= {name: value - before[name] for name, value in after.items()}
    totals["iqa_device_memory_bytes"] = after["iqa_device_memory_bytes"]


def _metrics(server: Server) -> Mapping[str, float]:
    """The metrics by name, summed over labels."""
    connection = http.client.HTTPConnection(server.target.host, server.target.port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    totals: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            totals[sample.name] += sample.value
    return totals
