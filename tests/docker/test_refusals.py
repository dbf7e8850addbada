"""What HAProxy with docker/haproxy.cfg says itself, and what it passes on; the replicas are stand-ins."""

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from app.errors import PROBLEMS
from app.settings import Settings
from tests.app.problems import is_problem
from tests.app.running import eventually
from tests.benchmarks.chaos.clients import address_of, get, loading
from tests.docker.balancing import ADDRESSES, FILE, Balancer, free_ports, program

pytestmark = pytest.mark.skipif(not program(), reason="HAProxy is not installed (Debian: haproxy)")

_LIMIT: Final = Settings.model_fields["max_body_bytes"].default
_PATIENCE_S: Final = 30.0


class StandIn(ThreadingHTTPServer):
    """Ready at once; tells what it got, or does what the path says: /hang, /vanish."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that left are no news."""

    def __init__(self, address: str, port: int) -> None:
        self.released = threading.Event()
        self.hanging = 0
        super().__init__((address, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/vanish":
            self.close_connection = True
            return
        if self.path == "/hang":
            self.server.hanging += 1
            self.server.released.wait(_PATIENCE_S)
        told = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_POST = do_GET

    def log_message(self, format: str, *values: Any) -> None:
        pass


@contextmanager
def standing_in(address: str, port: int) -> Iterator[StandIn]:
    with StandIn(address, port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def port() -> int:
    (port,) = free_ports(ADDRESSES[0])
    return port


@pytest.fixture(scope="module")
def stand_in(port: int) -> Iterator[StandIn]:
    with standing_in(ADDRESSES[0], port) as server:
        yield server


@pytest.fixture(scope="module")
def balancer(port: int, stand_in: StandIn) -> Iterator[Balancer]:
    with Balancer(port, ADDRESSES[:1]) as balancer:
        balancer.wait_for(ADDRESSES[0])
        yield balancer


@pytest.fixture
def client(balancer: Balancer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=balancer.url, timeout=_PATIENCE_S) as client:
        yield client


def _check(file: Path) -> str:
    checked = subprocess.run([program(), "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    said = checked.stdout + checked.stderr
    assert checked.returncode == 0, said
    return said


@pytest.mark.system
def test_the_file_is_accepted_without_a_warning() -> None:
    assert "WARNING" not in _check(FILE)


@pytest.mark.system
def test_tls_is_accepted_as_it_stands_in_the_comments(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "1",
         "-keyout", "-", "-out", "-"],
        capture_output=True, check=True,
    )  # fmt: skip
    certificate.write_bytes(made.stdout)
    text = FILE.read_text(encoding="utf-8")
    assert text.count("#tls ") == 3
    shutil.copy(FILE.parent / "patience.lua", tmp_path)
    file = tmp_path / "haproxy.cfg"
    file.write_text(text.replace("#tls ", "").replace("/run/secrets/certificate.pem", str(certificate)))
    assert "WARNING" not in _check(file)


def test_its_problems_have_the_words_of_the_service() -> None:
    page = r"http-error status (\d+) content-type application/problem\+json lf-string '(.*)'"
    texts = dict(re.findall(page, FILE.read_text(encoding="utf-8")))
    assert set(texts) == {"400", "404", "408", "413", "429", "500", "502", "503", "504"}
    for status, text in texts.items():
        body = json.loads(text.replace("%[var(txn.most_bytes)]", "1").replace("%[var(txn.prefix)]", ""))
        problem = PROBLEMS[body["type"].removeprefix("/problems/")]
        assert body["title"] == problem.title
        assert body["status"] == int(status)
        # A replica that ended in the midst of an answer is the one thing that only a balancer sees.
        assert problem.status == (503 if status == "502" else int(status))


def test_the_limits_are_those_of_the_service() -> None:
    (set_here,) = re.findall(r"presetenv IQA_MAX_BODY_BYTES (\d+)", FILE.read_text())
    assert int(set_here) == _LIMIT


def test_a_draining_replica_is_noticed_while_it_still_serves() -> None:
    found = re.search(r"check inter (\d+)ms fastinter (\d+)ms .*fall (\d+)", FILE.read_text(encoding="utf-8"))
    assert found is not None
    inter_ms, fastinter_ms, fall = map(int, found.groups())
    noticed_s = (inter_ms + (fall - 1) * fastinter_ms) / 1000
    # As much again for the answers to the checks, on a machine that is busy.
    assert 2 * noticed_s < Settings.model_fields["drain_delay_s"].default


@pytest.mark.system
def test_nobody_to_ask(port: int) -> None:
    with Balancer(port, ()) as balancer, httpx.Client(base_url=balancer.url, timeout=_PATIENCE_S) as client:
        answer = client.post("/score", content=b"image", headers={"X-Request-ID": "mine"})
        assert is_problem(answer, 503, "worker-unavailable")["request_id"] == "mine"
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["cache-control"] == "no-store"
        assert balancer.request("mine")["replica"] == "<NOSRV>"


@pytest.mark.system
def test_a_replica_that_leaves_its_client_without_an_answer(client: httpx.Client, balancer: Balancer) -> None:
    answer = client.post("/vanish", content=b"image")
    body = is_problem(answer, 502, "worker-unavailable")
    entry = balancer.request(str(body["request_id"]))
    assert (entry["status"], entry["ended"][:2]) == (502, "SH")


@pytest.mark.system
def test_a_replica_that_does_not_answer(port: int, stand_in: StandIn) -> None:
    short = {"LB_SERVER_TIMEOUT": "300ms"}
    with Balancer(port, ADDRESSES[:1], short) as balancer:
        balancer.wait_for(ADDRESSES[0])
        is_problem(httpx.post(f"{balancer.url}/hang"), 504, "deadline-exceeded")


@pytest.mark.system
@pytest.mark.parametrize(
    ("path", "times"), [("/score", 1), ("/v1/score/map", 1), ("/compare", 2), ("/v1/score/batch", 8)]
)
def test_what_is_announced_as_too_long_is_refused(balancer: Balancer, path: str, times: int) -> None:
    answer = _announced(balancer, path, times * _LIMIT + 131_073)
    assert answer.startswith(b"HTTP/1.1 413 ")
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (body["type"], body["limit_bytes"]) == ("/problems/body-too-large", times * _LIMIT)
    # One byte less is the service's to judge: it is asked, and waits for the body.
    assert _announced(balancer, path, times * _LIMIT + 131_072).startswith(b"HTTP/1.1 100 ")


@pytest.mark.system
def test_below_a_prefix_the_same_rules_hold(port: int, stand_in: StandIn) -> None:
    with (
        Balancer(port, ADDRESSES[:1], {"IQA_ROOT_PATH": "/iqa"}) as balancer,
        httpx.Client(base_url=balancer.url, timeout=_PATIENCE_S) as client,
    ):
        balancer.wait_for(ADDRESSES[0])
        for path in ("/metrics", "/iqa/metrics", "/iqa/v1/metrics", "/other/%6detrics"):
            refused = client.get(path)
            assert (refused.status_code, refused.json()["type"]) == (404, "/iqa/problems/not-found")
        sent = {"X-Forwarded-Prefix": "/photos/iqa"}
        assert client.get("/metrics", headers=sent).json()["type"] == "/photos/iqa/problems/not-found"
        assert client.get("/metrics", headers={"X-Forwarded-Prefix": '/"'}).json()["type"].startswith("/iqa/")
        assert client.get("/iqa/score", headers={"X-Request-ID": "below"}).status_code == 200
        assert balancer.request("below")["path"] == "/iqa/score"
        assert _announced(balancer, "/iqa/compare", 2 * _LIMIT).startswith(b"HTTP/1.1 100 ")


@pytest.mark.system
def test_a_number_beyond_all_machines_is_no_way_around_it(balancer: Balancer) -> None:
    for length in (2**32 + 100, 2**63 - 1):
        assert _announced(balancer, "/score", length).startswith(b"HTTP/1.1 413 ")


def _announced(balancer: Balancer, path: str, length: int) -> bytes:
    """The first that is answered to the head of a request whose body is not sent before it is asked for."""
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection(address_of(balancer.url), _PATIENCE_S) as connection:
        connection.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer or (b"413" in answer and not answer.endswith(b"}")):
            piece = connection.recv(4096)
            assert piece, answer
            answer += piece
        return answer


@pytest.mark.system
def test_a_refusal_reaches_a_client_that_sends_its_body_all_the_same(client: httpx.Client) -> None:
    for _ in range(3):
        answer = client.post("/score", content=bytes(_LIMIT + 1_000_000))
        assert is_problem(answer, 413, "body-too-large")["limit_bytes"] == _LIMIT


@pytest.mark.system
def test_more_than_may_wait_is_refused_at_once(port: int, stand_in: StandIn) -> None:
    stand_in.released.clear()
    stand_in.hanging = 0
    one = {"LB_SERVER_REQUESTS": "1", "LB_QUEUE": "2"}
    with Balancer(port, ADDRESSES[:1], one) as balancer, ThreadPoolExecutor(3) as pool:
        balancer.wait_for(ADDRESSES[0])
        taken = [pool.submit(httpx.post, f"{balancer.url}/hang", timeout=_PATIENCE_S) for _ in range(3)]
        try:
            eventually(lambda: stand_in.hanging == 1 and _queued(balancer) == 2, 30)
            answer = httpx.post(f"{balancer.url}/score", content=b"image", timeout=_PATIENCE_S)
            is_problem(answer, 429, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
        finally:
            stand_in.released.set()
        assert [each.result().status_code for each in taken] == [200] * 3
        assert httpx.post(f"{balancer.url}/score", content=b"image").status_code == 200


def _queued(balancer: Balancer) -> float:
    text = httpx.get(f"{balancer.operators}/metrics", timeout=_PATIENCE_S).text
    (value,) = re.findall(r'^haproxy_backend_current_queue\{proxy="replicas"\} (\S+)$', text, re.MULTILINE)
    return float(value)


@pytest.mark.system
def test_what_is_not_http_is_refused(balancer: Balancer) -> None:
    for rubbish in (b"rubbish\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a b\r\n: x\r\n\r\n"):
        with socket.create_connection(address_of(balancer.url), _PATIENCE_S) as connection:
            connection.sendall(rubbish)
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 400 ")


@pytest.mark.system
def test_the_service_learns_who_asks_and_not_what_they_say_of_themselves(client: httpx.Client) -> None:
    said = {
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=192.0.2.1",
        "X-Request-ID": "mine",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    got = client.get("/anything", headers=said).json()
    assert (got["x-forwarded-for"], got["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert "forwarded" not in got
    assert (got["x-request-id"], got["traceparent"]) == ("mine", said["traceparent"])
    made = [client.get("/anything").json()["x-request-id"] for _ in range(2)]
    assert made[0] != made[1]


@pytest.mark.system
def test_operators_have_a_port_of_their_own(balancer: Balancer, client: httpx.Client) -> None:
    with httpx.Client(base_url=balancer.operators, timeout=_PATIENCE_S) as operators:
        assert operators.get("/healthz").status_code == 200
        assert 'haproxy_server_status{proxy="replicas",server="replica1",state="UP"} 1' in (
            operators.get("/metrics").text
        )
        assert "replica1" in operators.get("/").text
    assert client.get("/;csv").json()  # the stand-in, not the statistics


@pytest.mark.system
def test_a_replica_that_is_named_later_is_found(port: int, stand_in: StandIn) -> None:
    with Balancer(port, ADDRESSES[:1]) as balancer:
        balancer.wait_for(ADDRESSES[0])
        with standing_in(ADDRESSES[1], port):
            balancer.names.addresses = ADDRESSES
            balancer.wait_for(*ADDRESSES)
        balancer.wait_for(ADDRESSES[0])  # nobody said that it went; the checks found it


@pytest.mark.system
def test_a_request_waits_a_moment_for_a_replica(port: int, stand_in: StandIn) -> None:
    with Balancer(port, ()) as balancer, ThreadPoolExecutor(1) as pool:
        early = pool.submit(httpx.get, f"{balancer.url}/anything", timeout=_PATIENCE_S)
        balancer.names.addresses = ADDRESSES[:1]  # asked for once a second
        assert early.result().status_code == 200


@pytest.mark.system
def test_a_reload_loses_nothing(port: int, stand_in: StandIn) -> None:
    with Balancer(port, ADDRESSES[:1]) as balancer:
        balancer.wait_for(ADDRESSES[0])
        address = address_of(balancer.url)
        with (
            loading(address, [get("/anything")], 3) as kept,
            loading(address, [get("/anything")], 3, keep_alive=False) as fresh,
        ):
            for _ in range(3):
                balancer.reload()
                before = len(kept.answers), len(fresh.answers)
                eventually(lambda n=before: len(kept.answers) > n[0] + 50 and len(fresh.answers) > n[1] + 50)
        for load in (kept, fresh):
            assert (load.lost, load.refused, set(load.statuses())) == ([], 0, {200})
