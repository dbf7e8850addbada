"""Admission: a budget in pixels, and what a client sees of a full one."""

import http.client
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.cost import Cost
from app.errors import Overloaded
from app.scoring.admission import Admission, Room
from tests.app.running import Server, eventually, metric, running

_BUDGET = 1000
_PIXELS = st.integers(1, 1500)
_PLACES = st.integers(0, 9)


@contextmanager
def _held(admission: Admission, pixels: int, timeout_s: float = 1000) -> Iterator[Room]:
    """Room that is settled at once."""
    with admission.admit(pixels, timeout_s) as room:
        room.settle(pixels)
        yield room


def _refusal(admission: Admission, pixels: int, timeout_s: float = 1000) -> int:
    with pytest.raises(Overloaded) as caught, _held(admission, pixels, timeout_s):
        pass
    return int(caught.value.headers["Retry-After"])


def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    admission = Admission(1000, patience_s=1000, cost=lambda: Cost(0.0, 0.1))
    with ExitStack() as held:
        held.enter_context(_held(admission, 600))
        held.enter_context(_held(admission, 300))
        assert _refusal(admission, 300) == 20
        held.enter_context(_held(admission, 100))
        assert _refusal(admission, 200) >= 1
        assert admission.queued_pixels == 1000
    assert admission.queued_pixels == 0


def test_one_request_is_always_let_in() -> None:
    admission = Admission(10, patience_s=1, cost=lambda: Cost(0.0, 1.0))
    admission.look()
    with _held(admission, 10_000, timeout_s=0.001):
        assert _refusal(admission, 1) >= 1


def test_a_queue_that_would_only_expire_is_full() -> None:
    admission = Admission(10**9, patience_s=30, cost=lambda: Cost(0.0, 0.01))
    with _held(admission, 2_700):
        assert _refusal(admission, 400) == 1


def test_who_cannot_wait_so_long_is_told_at_once() -> None:
    admission = Admission(10**9, patience_s=30, cost=lambda: Cost(0.0, 0.01))
    with _held(admission, 1_000):
        with _held(admission, 100, timeout_s=15):
            pass
        assert _refusal(admission, 100, timeout_s=5) >= 5


def test_a_failure_gives_its_room_back() -> None:
    admission = Admission(10, patience_s=1, cost=lambda: None)
    with pytest.raises(RuntimeError), admission.admit(5):
        raise RuntimeError
    assert admission.queued_pixels == 0


def test_until_its_header_is_read_a_request_is_taken_for_a_usual_one() -> None:
    admission = Admission(10_000, patience_s=1000, cost=lambda: None)
    with admission.admit(4_000) as first:
        assert admission.queued_pixels == 4_000  # nothing is usual yet
        first.settle(500)
        assert admission.queued_pixels == 500
        with admission.admit(4_000), admission.admit(300):
            assert admission.queued_pixels == 500 + 500 + 300
        first.settle(9_000)
        assert admission.queued_pixels == 9_000


def test_what_turns_out_too_large_is_refused_then() -> None:
    admission = Admission(1_000, patience_s=1000, cost=lambda: Cost(0.0, 0.1))
    with _held(admission, 100), admission.admit(100) as room:
        with pytest.raises(Overloaded) as caught:
            room.settle(1_100)
        assert caught.value.headers["Retry-After"] == "20"
        assert admission.queued_pixels == 200
        room.settle(900)
        assert admission.queued_pixels == 1_000
        room.settle(50)
    assert admission.queued_pixels == 0


def test_those_that_come_together_do_not_refuse_one_another() -> None:
    admission = Admission(1_000, patience_s=1000, cost=lambda: None)
    with _held(admission, 500):
        pass
    with admission.admit(5_000) as first, admission.admit(5_000) as second:
        assert (first.pixels, second.pixels) == (500, 500)
        with pytest.raises(Overloaded):
            second.settle(700)
        first.settle(700)  # it came first, and is let in
        assert admission.queued_pixels == 1_200


def test_who_has_left_holds_nothing_more() -> None:
    """A decoder may read the header of an image that nobody waits for any more."""
    admission = Admission(1_000, patience_s=1000, cost=lambda: None)
    with admission.admit(100) as room:
        pass
    room.settle(10_000)
    assert (admission.queued_pixels, room.pixels) == (0, 0)


def test_a_look_refuses_where_there_is_no_room_for_the_usual() -> None:
    admission = Admission(10_000, patience_s=1000, cost=lambda: Cost(0.0, 0.1))
    with ExitStack() as held:
        for _ in range(19):
            held.enter_context(_held(admission, 500))
            admission.look()
        held.enter_context(_held(admission, 490))
        with pytest.raises(Overloaded) as caught:
            admission.look()
        assert 40 <= int(caught.value.headers["Retry-After"]) <= 50


def test_the_small_are_not_refused_for_the_large() -> None:
    admission = Admission(10_000, patience_s=1000, cost=lambda: None)
    with _held(admission, 9_000):
        admission.look()  # a tenth of the queue is free
        with admission.admit(9_000) as room:
            assert admission.queued_pixels == 10_000  # what is free is held until the size is known
            room.settle(900)
            with pytest.raises(Overloaded):
                admission.look()
            with pytest.raises(Overloaded), admission.admit(9_000):
                pass


class _House(RuleBasedStateMachine):
    """Requests come, are settled and go in any order; a queue of some is never over its budget."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = 0
        self.admission = Admission(_BUDGET, 1000, lambda: None, self.hear)
        self.rooms: list[tuple[ExitStack, Room]] = []

    def hear(self, pixels: int) -> None:
        self.heard = pixels

    @rule(most=_PIXELS)
    def come(self, most: int) -> None:
        stack = ExitStack()
        try:
            room = stack.enter_context(self.admission.admit(most))
        except Overloaded:
            assert self.rooms
        else:
            assert room.pixels <= most
            self.rooms.append((stack, room))

    @precondition(lambda self: self.rooms)
    @rule(which=_PLACES, pixels=_PIXELS)
    def settle(self, which: int, pixels: int) -> None:
        _, room = self.rooms[which % len(self.rooms)]
        before = room.pixels
        others = sum(each.pixels for _, each in self.rooms) - before
        try:
            room.settle(pixels)
        except Overloaded:
            assert room is not self.rooms[0][1]
            assert others + pixels > _BUDGET
            assert room.pixels == before < pixels
        else:
            assert room.pixels == pixels

    @precondition(lambda self: self.rooms)
    @rule(which=_PLACES)
    def go(self, which: int) -> None:
        stack, room = self.rooms.pop(which % len(self.rooms))
        stack.close()
        assert room.pixels == 0

    @invariant()
    def adds_up(self) -> None:
        held = [room.pixels for _, room in self.rooms]
        assert self.heard == self.admission.queued_pixels == sum(held)
        assert all(pixels >= 0 for pixels in held)
        # The one that came first may be as large as it likes; the others hold no more than was free.
        assert sum(held[1:]) <= _BUDGET


TestHouse = _House.TestCase


def test_threads_settle_at_the_same_time() -> None:
    admission = Admission(10**9, patience_s=1000, cost=lambda: None)

    def request(number: int) -> None:
        for pixels in range(200):
            with admission.admit(pixels + number) as room:
                room.settle(pixels * 7)
                room.settle(pixels * 3)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(request, range(8)))
    finally:
        sys.setswitchinterval(before)
    assert admission.queued_pixels == 0


@contextmanager
def _full(environment: dict[str, str], photo: bytes) -> Iterator[tuple[Server, httpx.Client]]:
    """A server whose queue is full, since its worker has been stopped with a request."""
    with running({**environment, "IQA_QUEUE_PIXELS": "1"}) as (server, client), ThreadPoolExecutor(1) as pool:
        (worker,) = server.children("app.inference.worker")
        os.kill(worker, signal.SIGSTOP)
        held: Future[httpx.Response] = pool.submit(client.post, "/score", content=photo)
        eventually(lambda: metric(client, "iqa_queued_pixels") > 0)
        yield server, client
        os.kill(worker, signal.SIGCONT)
        assert held.result().status_code == 200
        eventually(lambda: metric(client, "iqa_queued_pixels") == 0)
        assert client.post("/score", content=photo).status_code == 200


@pytest.mark.process
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


@pytest.mark.process
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


def test_a_caller_leaves_a_quarter_of_the_queue_to_others() -> None:
    admission = Admission(1_000, patience_s=1000, cost=lambda: None)

    def come(caller: str) -> bool:
        try:
            room = held.enter_context(admission.admit(100, caller=caller))
            room.settle(100)
        except Overloaded:
            return False
        return True

    with ExitStack() as held:
        # The cost of a request is only known once it is in, so one may be in beyond that.
        assert sum(come("flood") for _ in range(20)) in (7, 8)
        with pytest.raises(Overloaded):
            admission.look("flood")
        admission.look("other")
        assert sum(come("other") for _ in range(20)) >= 1
    assert admission.queued_pixels == 0


def test_thumbnails_fill_the_queue_by_their_number() -> None:
    """Ten that take a second each, for which their pixels are no reason."""
    admission = Admission(10**9, patience_s=10, cost=lambda: Cost(1.0, 1e-9))
    with ExitStack() as held:
        for _ in range(10):
            held.enter_context(_held(admission, 1_000))
        assert admission.queued_s == pytest.approx(10.0)
        assert _refusal(admission, 1_000) >= 1
