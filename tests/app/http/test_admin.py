"""The port for probes and metrics: what it answers, and that clients of the other port cannot hold it up."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.app.door.wire import address_of
from tests.app.running import Server, eventually, metric, running

pytestmark = pytest.mark.process

_MOST_CONNECTIONS = 16
_SLOW = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"


@pytest.fixture
def served(weights_environment: dict[str, str]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Clients of a server's port and of its port for probes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {"IQA_ADMIN_PORT": str(port), "IQA_MAX_CONNECTIONS": str(_MOST_CONNECTIONS)}
    with (
        running({**weights_environment, **environment}) as (_, client),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as admin,
    ):
        yield client, admin


def test_probes_and_metrics_are_answered_beside_a_full_house(
    served: tuple[httpx.Client, httpx.Client], photo: bytes
) -> None:
    client, admin = served
    assert {path: admin.get(path).status_code for path in ("/livez", "/readyz", "/metrics")} == {
        "/livez": 200,
        "/readyz": 200,
        "/metrics": 200,
    }
    assert {admin.get(path).status_code for path in ("/", "/models", "/score", "/v1/livez")} == {404}
    assert admin.post("/score", content=photo).status_code == 404
    with ExitStack() as stack:
        for _ in range(_MOST_CONNECTIONS):
            connection = stack.enter_context(
                socket.create_connection(address_of(client.base_url), timeout=30)
            )
            connection.sendall(_SLOW)
        for path in ("/livez", "/readyz", "/metrics"):
            assert httpx.get(f"{admin.base_url}{path}").status_code == 200
        eventually(lambda: httpx.get(f"{client.base_url}/livez").status_code == 200, 10)
    # Bodies make room only in a full house.
    assert metric(admin, 'iqa_refused_connections_total{reason="slow-body"}') >= 1


def test_a_port_that_is_taken_is_a_sentence(weights_environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server({**weights_environment, "IQA_ADMIN_PORT": str(port)})
        try:
            assert server.wait() == 1
            assert "".join(server.log) == (
                f"iqa serve: 127.0.0.1:{port} is already in use; choose another port with IQA_ADMIN_PORT or "
                "--admin-port.\n"
            )
        finally:
            server.close()
