"""The program that measures memory runs, and tells processes apart."""

import pytest

from tests.app.running import running
from tests.benchmarks.footprint import KINDS, SUPERVISOR, costs, measure, report, report_costs, sample


@pytest.mark.process
@pytest.mark.slow
def test_it_measures_each_kind_of_process(weights_environment: dict[str, str]) -> None:
    environment = {**weights_environment, "IQA_HTTP_PROCESSES": "2", "IQA_DECODE_PROCESSES": "1"}
    with running(environment) as (server, client):
        held = sample(server.process.pid)
        # It raises where an image is not scored.
        phases = measure(server, client, trace="96x96", blocks=1, connections=2, pixels=300_000)
        taken = costs(server, client, ["64x48", "160x120"], connections=2)
    assert set(held) == {SUPERVISOR, *KINDS.values()}
    assert min(held.values()) > 0
    assert list(phases) == [
        "ready",
        "96x96 trace, 2 at a time",
        "JPEG of 0.3 million pixels, 2 at a time",
        "WebP with alpha of 0.3 million pixels, 2 at a time",
    ]
    for most in phases.values():
        assert max(most.kinds.values()) < most.together <= sum(most.kinds.values())
    assert len(report(phases).splitlines()) == 1 + len(phases)
    assert list(taken) == ["64x48", "160x120"]
    for spent in taken.values():
        assert set(spent) == set(held)
        assert sum(spent.values()) > 0


def test_the_report_adds_up() -> None:
    line = report_costs({"224x224": {"workers": 0.015, "decoders": 0.005}}).splitlines()[1]
    assert line.split() == ["224x224", "20.0", "0.0", "0.0", "5.0", "15.0", "50.0"]
