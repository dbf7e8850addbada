"""The lock on the routes: in this process, and on a running server where it is about bytes and files."""

import base64
import hashlib
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.api.dependencies import KEY, ROOM, CallerDep
from app.auth.api_keys import ApiKey, digest_of
from app.inference.endpoint import Endpoint
from app.main import create_app
from app.settings import Settings
from tests.app.problems import is_problem
from tests.app.running import eventually, metric, running

pytestmark = pytest.mark.process

ANNA, BOB = "anna-has-this-key", "bob-has-that-key"
LOCKED = [
    ("POST", "/score"),
    ("POST", "/score/map"),
    ("POST", "/score/batch"),
    ("POST", "/compare"),
    ("POST", "/compare/map"),
    ("POST", "/pick"),
    ("POST", "/calibrate"),
    ("GET", "/models"),
    ("GET", "/policies"),
]
OPEN = ["/livez", "/readyz", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/problems/unauthorized", "/"]

Make = Callable[..., TestClient]


def _line(name: str, key: str, rate: int | None = None) -> str:
    return ApiKey(name, digest_of(key.encode()), rate).line()


@contextmanager
def _made_in(folder: Path) -> Iterator[Make]:
    """Makes clients of applications with settings, and without any worker."""
    clients: list[TestClient] = []

    def make(prepare: Callable[[FastAPI], None] = lambda app: None, **settings: Any) -> TestClient:
        wanted = Settings(decode_processes=1, **settings)
        app = create_app(wanted, [Endpoint(f"ipc://{folder}/nobody", "secret")])
        prepare(app)
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with _made_in(tmp_path) as make:
        yield make


@pytest.fixture
def client(make: Make) -> TestClient:
    return make(api_keys=f"{_line('anna', ANNA)},{_line('bob', BOB)}")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The same for all tests that only ask: an application takes a second to start and to end."""
    with _made_in(tmp_path_factory.mktemp("lasting")) as make:
        yield make(api_keys=f"{_line('anna', ANNA)},{_line('bob', BOB)}")


def _let_in(path: str) -> int:
    """Where the lock is open: there is no worker. A map of differences needs none, but two images."""
    return 400 if path == "/compare/map" else 503


@pytest.mark.parametrize("base", ["", "/v1"])
@pytest.mark.parametrize(("method", "path"), LOCKED)
def test_what_costs_asks_for_a_key(lasting: TestClient, method: str, path: str, base: str) -> None:
    response = lasting.request(method, base + path)
    is_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == 'Bearer realm="iqa-service"'
    response = lasting.request(method, base + path, headers={"X-API-Key": "wrong"})
    is_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == 'Bearer realm="iqa-service", error="invalid_token"'
    for headers in ({"X-API-Key": ANNA}, {"Authorization": f"Bearer {ANNA}"}):
        assert lasting.request(method, base + path, headers=headers).status_code == _let_in(path)


@pytest.mark.parametrize("base", ["", "/v1"])
@pytest.mark.parametrize("path", [*OPEN, "/metrics"])
def test_the_rest_is_open(lasting: TestClient, path: str, base: str) -> None:
    for headers in ({}, {"X-API-Key": "wrong"}):
        response = lasting.get(base + path, headers=headers)
        assert response.status_code not in (401, 404)
        assert "www-authenticate" not in response.headers


def test_metrics_are_locked_by_setting(make: Make) -> None:
    client = make(api_keys=_line("anna", ANNA), metrics_key=True)
    for path in ("/metrics", "/v1/metrics"):
        is_problem(client.get(path), 401, "unauthorized")
        is_problem(client.get(path, headers={"X-API-Key": BOB}), 401, "unauthorized")
        assert client.get(path, headers={"Authorization": f"Bearer {ANNA}"}).status_code == 200
    for path in OPEN:
        assert client.get(path).status_code != 401


def test_without_keys_everything_is_open(make: Make) -> None:
    client = make()
    for method, path in LOCKED:
        for headers in ({}, {"X-API-Key": "whatever"}):
            assert client.request(method, path, headers=headers).status_code == _let_in(path)


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ([("Authorization", f"bearer {ANNA}")], True),
        ([("AUTHORIZATION", f"BEARER  {ANNA} ")], True),
        ([("X-API-Key", ANNA), ("Authorization", f"Bearer {ANNA}")], True),
        ([("X-API-Key", ANNA), ("Authorization", "Basic YTpi")], True),  # for a proxy in front
        ([("Authorization", "Basic YTpi")], False),
        ([("Authorization", ANNA)], False),
        ([("Authorization", f"Basic {ANNA}")], False),
        ([("Authorization", "Bearer")], False),
        ([("X-API-Key", "")], False),
        ([("X-API-Key", "\xfc")], False),
        ([("X-API-Key", ANNA), ("Authorization", "Bearer wrong")], False),
        ([("X-API-Key", "wrong"), ("Authorization", f"Bearer {ANNA}")], False),
        ([("X-API-Key", ANNA), ("X-API-Key", "wrong")], False),
        ([("Authorization", f"Bearer {ANNA}"), ("Authorization", "Bearer wrong")], False),
        ([("X-API-Key", f"{ANNA}, {BOB}")], False),
    ],
)
def test_a_key_is_sent_in_either_header(
    lasting: TestClient, headers: list[tuple[str, str]], let_in: bool
) -> None:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    response = lasting.get("/models", headers=sent)  # type: ignore[arg-type]
    assert response.status_code == (503 if let_in else 401)


def test_a_key_is_not_taken_from_elsewhere(client: TestClient) -> None:
    for query in (f"api_key={ANNA}", f"X-API-Key={ANNA}", f"key={ANNA}"):
        assert client.get(f"/models?{query}").status_code == 401
    client.cookies.set("X-API-Key", ANNA)
    assert client.get("/models").status_code == 401


def test_nothing_else_is_told_without_a_key(client: TestClient) -> None:
    """Not the body, nor the parameters, nor a full queue change the answer."""
    client.app.state.service.admission.queued_pixels = 10**12  # type: ignore[attr-defined]
    answers = [
        client.post("/score"),
        client.post("/score", content=b"x" * 1000),
        client.post("/score?model=x&models=a&models=b"),
        client.post("/score", headers={"X-Timeout-Ms": "soon", "Content-Encoding": "gzip"}),
        client.post("/compare", files={"reference": b"1"}),
    ]
    bodies = [is_problem(answer, 401, "unauthorized") for answer in answers]
    for body in bodies:
        body.pop("request_id")
    assert all(body == bodies[0] for body in bodies)
    is_problem(client.post("/score", headers={"X-API-Key": ANNA}), 429, "overloaded")


def test_wrong_paths_and_methods_are_as_ever(lasting: TestClient) -> None:
    is_problem(lasting.get("/nowhere"), 404, "not-found")
    is_problem(lasting.get("/score"), 405, "method-not-allowed")


def test_the_log_names_the_caller_and_never_the_key(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.get("/models", headers={"Authorization": f"Bearer {ANNA}"})
        client.get("/models", headers={"X-API-Key": "guess-of-a-key"})
        client.get("/models")
    lines = [vars(record)["fields"] for record in caplog.records if record.name == "iqa.access"]
    assert [line.get("key") for line in lines] == ["anna", None, None]
    assert [line.get("slug") for line in lines] == ["starting", "unauthorized", "unauthorized"]
    for secret in (ANNA, digest_of(ANNA.encode()).hex(), "guess-of-a-key"):
        assert secret not in caplog.text
        assert not any(secret in str(line) for line in lines)


def test_refusals_are_counted_without_names(client: TestClient) -> None:
    client.get("/models")
    client.get("/models", headers={"X-API-Key": "wrong"})
    client.get("/models", headers={"X-API-Key": ANNA})
    text = client.get("/metrics").text
    assert "iqa_unauthorized_total 2.0" in text
    assert "anna" not in text


def _charging(app: FastAPI) -> None:
    """Adds a route that charges its caller what the query says."""

    async def stub(caller: CallerDep, pixels: int) -> str | None:
        caller.charge(pixels)
        return caller.name

    app.add_api_route("/stub", stub, methods=["POST"], dependencies=[KEY, ROOM])


def test_a_spent_budget_is_refused_before_anything_is_read(make: Make) -> None:
    client = make(_charging, api_keys=f"{_line('anna', ANNA, 1000)},{_line('bob', BOB)}")
    anna, bob = {"X-API-Key": ANNA}, {"X-API-Key": BOB}
    assert client.post("/stub?pixels=5000", headers=anna).json() == "anna"
    assert client.post("/stub?pixels=1000000", headers=anna).json() == "anna"  # overdrawn once
    for path in ("/stub?pixels=1", "/score", "/compare"):
        response = client.post(path, headers=anna)
        is_problem(response, 429, "rate-limited")
        assert 980 < int(response.headers["retry-after"]) <= 996
    is_problem(client.get("/models", headers=anna), 503, "starting")  # costs nothing
    for _ in range(3):
        assert client.post("/stub?pixels=100000000", headers=bob).json() == "bob"
    assert 'iqa_rejected_total{slug="rate-limited"} 3.0' in client.get("/metrics").text


def test_the_document_tells_of_keys(make: Make) -> None:
    locked = {path for _, path in LOCKED}
    for settings, metrics, optional in (
        ({}, False, True),
        ({"api_keys": _line("anna", ANNA)}, False, False),
        ({"api_keys": _line("anna", ANNA), "metrics_key": True}, True, False),
    ):
        document = make(**settings).get("/openapi.json").json()
        schemes = document["components"]["securitySchemes"]
        assert schemes["bearer"] == {"type": "http", "scheme": "bearer", "description": "An API key."}
        assert schemes["header"]["in"] == "header"
        assert schemes["header"]["name"] == "X-API-Key"
        asking = set()
        for path, operations in document["paths"].items():
            for operation in operations.values():
                assert ("security" in operation) == ("401" in operation["responses"])
                if "security" in operation:
                    asking.add(path)
                    assert operation["security"] == [{"bearer": []}, {"header": []}] + [{}] * optional
                    assert "WWW-Authenticate" in operation["responses"]["401"]["headers"]
        assert asking == locked | ({"/metrics"} if metrics else set())
        for path in ("/score", "/compare"):
            problems = document["paths"][path]["post"]["responses"]["429"]["content"]
            examples = problems["application/problem+json"]["examples"]
            assert set(examples) == {"overloaded", "rate-limited"}


@pytest.mark.parametrize(
    "path", ["/livez", "/nowhere", "/metrics", "/docs", "/docs/swagger-ui.css", "/models"]
)
def test_no_answer_is_sniffed(lasting: TestClient, path: str) -> None:
    assert lasting.get(path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/problems/not-found", "/docs", "/v1/docs"])
def test_pages_can_load_nothing_that_is_not_theirs(lasting: TestClient, path: str) -> None:
    headers = lasting.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in policy.get("script-src", "")
    assert "*" not in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]


@pytest.mark.parametrize("base", ["", "/v1"])
def test_the_interactive_page_may_do_what_it_does(lasting: TestClient, base: str) -> None:
    response = lasting.get(f"{base}/docs")
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    scripts = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    assert len(scripts) == response.text.count("<script>") == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert not re.search(r"\son[a-z]+=", response.text)  # handlers would need more than the hash
    assert policy["connect-src"] == "'self'"


def test_other_answers_than_pages_have_no_policy(lasting: TestClient) -> None:
    for path in ("/livez", "/openapi.json", "/nowhere", "/docs/swagger-ui-bundle.js"):
        assert "content-security-policy" not in lasting.get(path).headers


@pytest.fixture
def guarded(weights_environment: dict[str, str], tmp_path: Path) -> Iterator[tuple[httpx.Client, Path]]:
    """A client of a running server, and its file of keys, in which Anna is."""
    path = tmp_path / "keys"
    path.write_text(_line("anna", ANNA))
    environment = {"IQA_API_KEYS_FILE": str(path), "IQA_METRICS_KEY": "1", "IQA_BODY_TIMEOUT_S": "300"}
    with running(weights_environment | environment) as (_, client):
        yield client, path


def _exchange(client: httpx.Client, head: str, body: bytes = b"") -> bytes:
    """What comes back when a head has been sent, and perhaps the beginning of a body."""
    url = client.base_url
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + body)
        received = b""
        while not re.search(rb"\r\n\r\n\{.*\}$", received, re.DOTALL):
            chunk = connection.recv(65536)
            assert chunk, received
            received += chunk
    return received


def test_a_running_server_asks_for_keys_and_takes_new_ones(
    guarded: tuple[httpx.Client, Path], photo: bytes
) -> None:
    client, path = guarded
    anna, bob = {"X-API-Key": ANNA}, {"Authorization": f"Bearer {BOB}"}

    def score(headers: dict[str, str]) -> httpx.Response:
        return client.post("/score", content=photo, headers=headers)

    assert score(anna).status_code == 200
    is_problem(score(bob), 401, "unauthorized")
    is_problem(score({}), 401, "unauthorized")
    assert client.get("/readyz").status_code == 200

    # Nothing of a body is waited for: neither one that is asked for first, nor one that never comes.
    announced = "POST /score HTTP/1.1\nHost: x\nContent-Length: 1999999\n"
    for head in (
        announced + "\n",
        announced + "Expect: 100-continue\n\n",
        announced + "X-API-Key: wrong\n\n",
        "POST /score HTTP/1.1\nHost: x\nContent-Length: 99999999999\n\n",
        "POST /score HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n",
    ):
        assert _exchange(client, head).startswith(b"HTTP/1.1 401 ")
    assert _exchange(client, announced + "\n", b"x" * 1000).startswith(b"HTTP/1.1 401 ")
    # With the key it is a body that is asked for, or a mistake that is told at once.
    for extra, status in (("?model=x", b"422"), ("?models=a&models=b", b"422")):
        head = announced.replace("/score", f"/score{extra}") + f"X-API-Key: {ANNA}\n\n"
        assert _exchange(client, head).startswith(b"HTTP/1.1 " + status)
    gzip = announced + f"X-API-Key: {ANNA}\nContent-Encoding: gzip\nExpect: 100-continue\n\n"
    assert _exchange(client, gzip).startswith(b"HTTP/1.1 415 ")

    # HEAD is answered like GET, in one piece with what follows on the connection.
    for _ in range(2):
        answer = client.head("/livez")
        assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "15")
        assert client.get("/livez").json() == {"status": "ok"}

    path.write_text(f"{_line('bob', BOB)}\n")
    eventually(lambda: score(bob).status_code == 200, 20)
    is_problem(score(anna), 401, "unauthorized")
    path.write_text(f"{_line('bob', BOB)}\nanna:mistyped")
    time.sleep(2)
    assert score(bob).status_code == 200
    is_problem(score(anna), 401, "unauthorized")
    assert metric(_with(client, bob), "iqa_key_faults") == 1
    assert metric(_with(client, bob), "iqa_unauthorized_total") >= 9
    for breaking in (lambda: path.write_text(""), path.unlink):
        breaking()
        time.sleep(2)  # by then whatever it says is in force
        is_problem(score(bob), 401, "unauthorized")
        path.write_text(_line("bob", BOB))
        time.sleep(2)
        assert score(bob).status_code == 200
    assert metric(_with(client, bob), "iqa_key_faults") == 0


def test_a_process_that_restarts_goes_by_the_valid_lines_of_a_broken_list(
    weights_environment: dict[str, str], tmp_path: Path
) -> None:
    """It has no keys of before to go by, and lives all the same."""
    path = tmp_path / "keys"
    path.write_text(f"{_line('anna', ANNA)}\n{_line('bob', BOB)}")
    with running({**weights_environment, "IQA_API_KEYS_FILE": str(path)}) as (server, client):
        path.write_text(f"anna:oh-no-the-key-itself\n{_line('bob', BOB)}")
        (process,) = server.children("app.server")
        os.kill(process, signal.SIGKILL)
        eventually(lambda: _status(client, {"X-API-Key": BOB}) == 200, 60)
        assert _status(client, {"X-API-Key": ANNA}) == 401
        assert any("is neither NAME:SHA256" in line for line in server.log)
        assert not any("oh-no" in line for line in server.log)
        assert server.process.poll() is None
        assert client.get("/livez").status_code == 200


def _with(client: httpx.Client, headers: dict[str, str]) -> httpx.Client:
    client.headers.update(headers)
    return client


def _status(client: httpx.Client, headers: dict[str, str]) -> int | None:
    """Of GET /models; None while nobody listens."""
    try:
        return client.get("/models", headers=headers, timeout=5).status_code
    except httpx.TransportError:
        return None
