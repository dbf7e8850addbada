"""docker/haproxy.cfg in the real HAProxy, before the real service."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import Server, eventually
from tests.benchmarks.chaos.clients import Tally, address_of, loading, post
from tests.docker.balancing import ADDRESSES, Balancer, begun, free_ports, kill, program, replica
from tests.photographs import named

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not program(), reason="HAProxy is not installed (Debian: haproxy)"),
]

_CLIENTS = 8


@pytest.fixture(scope="module")
def port() -> int:
    (port,) = free_ports(ADDRESSES[0])
    return port


@pytest.fixture(scope="module")
def photo() -> bytes:
    return encoded(named()["chelsea"], quality=92)


class Replicas:
    """Two replicas that can be ended and put back."""

    def __init__(self, port: int, environment: dict[str, str]) -> None:
        self._port = port
        self._environment = environment
        self.servers: dict[str, Server] = {}

    def start(self, *addresses: str) -> None:
        for address in addresses:
            if address in self.servers:
                self.servers[address].close()
            self.servers[address] = begun(address, self._port, self._environment)
        for address in addresses:
            self.servers[address].wait_ready()

    def close(self) -> None:
        for server in self.servers.values():
            server.close()


@pytest.fixture
def replicas(port: int, weights_environment: dict[str, str]) -> Iterator[Replicas]:
    started = Replicas(port, {**weights_environment, "IQA_TIMEOUT_S": "120"})
    try:
        started.start(*ADDRESSES)
        yield started
    finally:
        started.close()


@pytest.mark.slow
def test_a_replica_that_drains_costs_nothing_and_one_that_is_killed_what_was_aboard(
    port: int, replicas: Replicas, photo: bytes
) -> None:
    with ExitStack() as stack:
        balancer = stack.enter_context(Balancer(port))
        balancer.wait_for(*ADDRESSES)
        address = address_of(balancer.url)
        loads = [
            stack.enter_context(loading(address, [post(photo)], _CLIENTS // 2, keep_alive))
            for keep_alive in (True, False)
        ]
        _go_on(loads)
        for each, other in (ADDRESSES, ADDRESSES[::-1]):
            server = replicas.servers[each]
            server.signal(signal.SIGTERM)
            balancer.wait_for(other)
            assert server.wait() == 0
            _go_on(loads)
            _put_back(replicas, balancer, each, loads)
        assert not _failed(loads)

        names = set()
        for each, other in (ADDRESSES, ADDRESSES[::-1]):
            names.add(balancer.replicas()[each])
            earlier = set(_failed(loads))
            kill(replicas.servers[each])
            gone = time.monotonic()
            balancer.wait_for(other)
            _go_on(loads)
            if each == ADDRESSES[0]:
                _put_back(replicas, balancer, each, loads)
            failed = set(_failed(loads)) - earlier
            # Those that were aboard, and nobody who came later, noticed or not.
            assert all(began < gone for began in failed), (failed, gone)
            assert len(failed) <= _CLIENTS

        def failures() -> list[dict[str, Any]]:
            return [entry for entry in balancer.requests() if entry["status"] != 200]

        # A client may note what it was told a moment after the log. Whose kept connection was closed was told
        # nothing that would name the line in the log, if there is one.
        eventually(lambda: len(failures()) <= len(_failed(loads)), 10)
        told = [answer for load in loads for _, answer in load.answers if answer.status != 200]
        assert {(answer.status, answer.slug) for answer in told} <= {(502, "worker-unavailable")}
        ids = {balancer.request(answer.headers["x-request-id"])["id"] for answer in told}
        logged = failures()
        assert ids <= {entry["id"] for entry in logged}
        assert {entry["replica"] for entry in logged} <= names
        assert {entry["ended"][0] for entry in logged} <= {"S"}


def _go_on(loads: Sequence[Tally]) -> None:
    """Until there were a few more answers for everybody."""
    before = [len(load.answers) for load in loads]
    eventually(lambda: all(len(load.answers) > n + _CLIENTS for load, n in zip(loads, before, strict=True)))


def _put_back(replicas: Replicas, balancer: Balancer, address: str, loads: Sequence[Tally]) -> None:
    replicas.start(address)
    balancer.wait_for(*ADDRESSES)
    _go_on(loads)


def _failed(loads: Sequence[Tally]) -> list[float]:
    """When the requests that failed so far were begun.

    To a further request of a kept connection HAProxy gives no 502, but closes it, mostly without a line in
    its log: it leaves it to the client whether to send it again.
    """
    assert not any(load.refused for load in loads)
    cut = [began for load in loads for began in load.lost_begun]
    return cut + [answer.began for load in loads for _, answer in load.answers if answer.status != 200]


def test_ids_agree_from_end_to_end(port: int, weights_environment: dict[str, str], photo: bytes) -> None:
    with replica(ADDRESSES[0], port, weights_environment) as server, Balancer(port) as balancer:
        balancer.wait_for(ADDRESSES[0])  # the other one that is named never was there
        with httpx.Client(base_url=balancer.url, timeout=60) as client:
            for sent, kept in (("photo-17", True), (None, False), ("not sane", False)):
                answer = client.post("/score", content=photo, headers={"X-Request-ID": sent} if sent else {})
                assert answer.status_code == 200
                id = answer.headers["x-request-id"]
                assert (id == sent) == kept
                eventually(lambda id=id: any(each.get("id") == id for each in server.entries()), 10)
                entry = balancer.request(id)
                assert (entry["status"], entry["path"], entry["method"]) == (200, "/score", "POST")
                assert entry["replica"] == balancer.replicas()[ADDRESSES[0]]
                assert entry["received_bytes"] > len(photo)
            is_problem(client.get("/no-such-thing"), 404, "not-found")
            for path in ("/metrics", "/v1/metrics", "/%6detrics", "/metrics?all"):
                is_problem(client.get(path), 404, "not-found")
            assert httpx.get(f"http://{ADDRESSES[0]}:{port}/metrics").status_code == 200
