"""The real Prometheus over real replicas behind the real HAProxy: no query and no rule is empty."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import numpy as np
import pytest

from tests.app.files import encoded
from tests.app.running import eventually
from tests.docker import balancing, watching
from tests.docker.balancing import ADDRESSES, Balancer, free_ports, replica
from tests.docker.watching import DASHBOARD, Prometheus, panels, rules
from tests.photographs import named

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.skipif(not watching.program("prometheus"), reason=watching.MISSING),
    pytest.mark.skipif(not balancing.program(), reason="HAProxy is not installed (Debian: haproxy)."),
]

_MODELS = ("qualiclip", "bpclip", "bpclip-fr")
_SELECTOR = re.compile(r"\b((?:iqa|haproxy)[\w:]*|up)(\{[^}]*\})?(?:\[\w+\])?( offset \w+)?")
_PATIENCE_S = 60


class Watched:
    """Two replicas, their balancer and Prometheus, and the traffic that is sent."""

    def __init__(self, client: httpx.Client, prometheus: Prometheus) -> None:
        self.prometheus = prometheus
        self._client = client
        self._rounds = 0

    def ask(self) -> None:
        """A little of everything: new images and known ones, pairs, batches, and what is refused."""
        self._rounds += 1
        pixels = np.ascontiguousarray(named()["coffee"][:96, : 128 + self._rounds])
        image, worse = encoded(pixels, "PNG"), encoded(pixels, quality=20)
        pair = {"reference": image, "distorted": worse}
        files = [("images", ("a.png", image)), ("images", ("b.png", image[:100]))]
        posts = (
            ({"url": "/score", "content": image}, 200),
            ({"url": "/score", "content": image}, 200),
            ({"url": "/score", "content": worse}, 200),
            ({"url": "/compare", "files": pair}, 200),
            ({"url": "/score/batch", "files": files}, 200),
            ({"url": "/score", "content": b"no image"}, 415),
        )
        for parameters, status in posts:
            answer = self._client.post(**parameters)
            assert answer.status_code == status, answer.text

    def fill(self, queries: list[str]) -> list[str]:
        """Sends traffic until every query has data; those that never get any."""
        left, end = queries, time.monotonic() + _PATIENCE_S
        while left and time.monotonic() < end:
            self.ask()
            left = self.prometheus.without(left)
        return left


@pytest.fixture(scope="module")
def watched(
    weights_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    (port,) = free_ports(ADDRESSES[0])
    environment = {**weights_environment, "IQA_CACHE_BYTES": None}
    with ExitStack() as stack:
        # One with several HTTP processes, whose metrics come out of files.
        stack.enter_context(replica(ADDRESSES[0], port, environment))
        stack.enter_context(replica(ADDRESSES[1], port, {**environment, "IQA_HTTP_PROCESSES": "2"}))
        balancer = stack.enter_context(Balancer(port))
        balancer.wait_for(*ADDRESSES)
        targets = {
            "api": [f"{address}:{port}" for address in ADDRESSES],
            "haproxy": [balancer.operators.removeprefix("http://")],
        }
        prometheus = stack.enter_context(
            Prometheus(tmp_path_factory.mktemp("prometheus"), targets, _yesterday())
        )
        client = stack.enter_context(httpx.Client(base_url=balancer.url, timeout=60))
        yield Watched(client, prometheus)


def _yesterday() -> dict[str, float]:
    """What the rules had recorded a day ago: scores that were spread evenly."""
    series = {f'iqa:score:count6h{{model="{model}"}}': 1000.0 for model in _MODELS}
    for model in _MODELS:
        for part in range(1, 21):
            series[f'iqa:score:cdf6h{{model="{model}",le="{part / 20}"}}'] = part / 20
        series[f'iqa:score:cdf6h{{model="{model}",le="+Inf"}}'] = 1.0
    return series


def _asked_by(panel: dict[str, Any]) -> Iterator[str]:
    """A panel's queries as Grafana would send them."""
    for target in panel["targets"]:
        query = target["expr"].replace("$instance", ".+").replace("$__rate_interval", "1m")
        yield from {query.replace("$model", model) for model in _MODELS}


def _selectors(expression: str) -> set[str]:
    """What an expression reads."""
    return {name + (labels or "") + (offset or "") for name, labels, offset in _SELECTOR.findall(expression)}


def test_prometheus_reaches_all(watched: Watched) -> None:
    def reached() -> bool:
        everybody = {"api": ["up", "up"], "haproxy": ["up"], "prometheus": ["up"]}
        return watched.prometheus.targets() == everybody

    eventually(reached, 30)


def test_every_query_of_the_dashboard_has_data(watched: Watched) -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = sorted({query for panel in panels(dashboard) for query in _asked_by(panel)})
    assert len(queries) > 50
    assert watched.fill(queries) == []


def test_every_recorded_series_has_data(watched: Watched) -> None:
    recorded = [rule["record"] for rule in rules("recording")]
    assert watched.fill(recorded) == []


def test_everything_that_a_rule_reads_is_there(watched: Watched) -> None:
    """An alert has no data when all is well, but what it is worked out from has."""
    read = {
        each for file in ("recording", "alerts") for rule in rules(file) for each in _selectors(rule["expr"])
    }
    assert len(read) > 40
    assert watched.fill(sorted(read)) == []


def test_every_rule_works_and_none_cries_over_little_traffic(watched: Watched) -> None:
    names = {
        rule.get("record", rule.get("alert")) for file in ("recording", "alerts") for rule in rules(file)
    }

    def troubled() -> list[str]:
        return [
            f"{rule['name']}: {rule['health']}, {rule.get('state')}, {rule.get('alerts')}"
            for rule in watched.prometheus.rules()
            if rule["health"] != "ok" or rule.get("state", "inactive") != "inactive"
        ]

    watched.ask()
    end = time.monotonic() + 30
    while (found := troubled()) and time.monotonic() < end:
        time.sleep(0.1)
    assert found == []
    assert {rule["name"] for rule in watched.prometheus.rules()} == names
