"""Admission: a budget in pixels, and what a client sees of a full one."""

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from app.admission import Admission
from app.errors import Overloaded
from tests.app.running import Server, eventually, metric, running


def _refusal(admission: Admission, pixels: int, timeout_s: float = 1000) -> int:
    with pytest.raises(Overloaded) as caught, admission.admit(pixels, timeout_s):
        pass
    return int(caught.value.headers["Retry-After"])


def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    admission = Admission(1000, patience_s=1000, rate=lambda: 10.0)
    with ExitStack() as held:
        held.enter_context(admission.admit(600))
        held.enter_context(admission.admit(400))
        assert _refusal(admission, 200) == 20
        assert admission.queued_pixels == 1000
    assert admission.queued_pixels == 0


def test_one_request_is_always_let_in() -> None:
    admission = Admission(10, patience_s=1, rate=lambda: 1.0)
    admission.look()
    with admission.admit(10_000, timeout_s=0.001):
        assert _refusal(admission, 1) >= 1


def test_a_queue_that_would_only_expire_is_full() -> None:
    admission = Admission(10**9, patience_s=30, rate=lambda: 100.0)
    with admission.admit(2_900):
        assert _refusal(admission, 200) == 1


def test_who_cannot_wait_so_long_is_told_at_once() -> None:
    admission = Admission(10**9, patience_s=30, rate=lambda: 100.0)
    with admission.admit(1_000):
        with admission.admit(100, timeout_s=15):
            pass
        assert _refusal(admission, 100, timeout_s=5) == 6


def test_a_failure_gives_its_room_back() -> None:
    admission = Admission(10, patience_s=1, rate=lambda: 0.0)
    with pytest.raises(RuntimeError), admission.admit(5):
        raise RuntimeError
    assert admission.queued_pixels == 0


def test_a_look_refuses_where_there_is_no_room_for_the_usual() -> None:
    admission = Admission(10_000, patience_s=1000, rate=lambda: 10.0)
    with ExitStack() as held:
        for _ in range(19):
            held.enter_context(admission.admit(500))
            admission.look()
        held.enter_context(admission.admit(490))
        with pytest.raises(Overloaded) as caught:
            admission.look()
        assert 40 <= int(caught.value.headers["Retry-After"]) <= 50


def test_a_look_does_not_refuse_the_small_for_the_large() -> None:
    admission = Admission(10_000, patience_s=1000, rate=lambda: 0.0)
    with admission.admit(9_000):
        admission.look()  # a tenth of the queue is free
        with admission.admit(900), pytest.raises(Overloaded):
            admission.look()


@contextmanager
def _full(environment: dict[str, str], photo: bytes) -> Iterator[tuple[Server, httpx.Client]]:
    """A server whose queue is full, since its worker has been stopped with a request."""
    with running({**environment, "IQA_QUEUE_PIXELS": "1"}) as (server, client), ThreadPoolExecutor(1) as pool:
        (worker,) = server.children("app.worker")
        os.kill(worker, signal.SIGSTOP)
        held: Future[httpx.Response] = pool.submit(client.post, "/score", content=photo)
        eventually(lambda: metric(client, "iqa_queued_pixels") > 0)
        yield server, client
        os.kill(worker, signal.SIGCONT)
        assert held.result().status_code == 200
        eventually(lambda: metric(client, "iqa_queued_pixels") == 0)
        assert client.post("/score", content=photo).status_code == 200


def test_a_full_house_refuses_before_the_body(weights_environment: dict[str, str], photo: bytes) -> None:
    with _full(weights_environment, photo) as (_, client):
        url = client.base_url
        assert url.port is not None
        size = 15 * 2**20
        for path in ("/score", "/v1/compare"):
            head = (
                f"POST {path} HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: image/jpeg\r\n"
                f"Content-Length: {size}\r\n\r\n"
            )
            with socket.create_connection((url.host, url.port), timeout=20) as connection:
                connection.sendall(head.encode())
                # Not a byte of the body has been sent, and here is the answer.
                with _answer(connection) as response:
                    _is_refusal(response)
                # The body may come all the same, and the connection is as good as before.
                connection.sendall(bytes(size))
                connection.sendall(f"GET /livez HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
                with _answer(connection) as response:
                    assert response.status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_whoever_sends_first_and_listens_then_hears_it_too(
    weights_environment: dict[str, str], photo: bytes, chunked: bool
) -> None:
    body = bytes(15 * 2**20)
    with _full(weights_environment, photo) as (server, client):
        url = client.base_url
        connection = http.client.HTTPConnection(url.host, url.port, timeout=20)
        for _ in range(3):
            connection.request(
                "POST", "/score", iter([body]) if chunked else body, {"Content-Type": "image/png"}
            )
            _is_refusal(connection.getresponse())
        connection.close()
        eventually(lambda: metric(client, 'iqa_rejected_total{slug="overloaded"}') == 3)
        assert not [entry for entry in server.entries() if entry["level"] == "error"]


def _is_refusal(response: http.client.HTTPResponse) -> None:
    assert (response.status, response.headers["Content-Type"]) == (429, "application/problem+json")
    assert int(response.headers["Retry-After"]) >= 1
    assert json.loads(response.read())["type"] == "/problems/overloaded"


def _answer(connection: socket.socket) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response
