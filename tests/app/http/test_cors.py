"""Requests from other sites' pages: off by default, and what is allowed where it is on."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.auth.api_keys import ApiKey, digest_of
from app.inference.endpoint import Endpoint
from app.main import create_app
from app.settings import Settings
from tests.app.problems import is_problem

pytestmark = pytest.mark.process

HOME, ELSEWHERE = "https://example.org", "https://example.com"
KEYS = ApiKey("anna", digest_of(b"anna's key")).line()

Make = Callable[..., TestClient]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    clients: list[TestClient] = []

    def make(**settings: Any) -> TestClient:
        app = create_app(
            Settings(api_keys=KEYS, decode_processes=1, **settings),
            [Endpoint(f"ipc://{tmp_path}/nobody", "secret")],
        )
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


def _preflight(client: TestClient, origin: str, method: str = "POST", headers: str = "") -> Any:
    asked = {"Access-Control-Request-Headers": headers} if headers else {}
    return client.options(
        "/score", headers={"Origin": origin, "Access-Control-Request-Method": method, **asked}
    )


def test_it_is_off_by_default(make: Make) -> None:
    client = make()
    response = client.get("/livez", headers={"Origin": HOME})
    assert not [name for name in response.headers if name.startswith("access-control")]
    response = _preflight(client, HOME)
    is_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(("origins", "told"), [((HOME,), HOME), (("*",), "*")])
def test_a_page_may_ask_beforehand_without_a_key(
    make: Make, origins: tuple[str, ...], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = make(cors_origins=origins)
    with caplog.at_level(logging.INFO, logger="iqa.access"):
        response = _preflight(client, HOME, headers="x-api-key, authorization,X-Timeout-Ms,content-type")
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == told
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in response.headers
    assert response.headers["x-request-id"]
    (entry,) = (vars(record)["fields"] for record in caplog.records if record.name == "iqa.access")
    assert (entry["method"], entry["path"], entry["status"]) == ("OPTIONS", "/score", 200)


def test_what_is_not_allowed_is_a_problem(make: Make) -> None:
    client = make(cors_origins=(HOME,))
    for response in (
        _preflight(client, ELSEWHERE),
        _preflight(client, HOME, method="DELETE"),
        _preflight(client, HOME, headers="x-evil"),
    ):
        is_problem(response, 400, "malformed-request")
        assert "Origin" in response.headers["vary"]
    assert "access-control-allow-origin" not in _preflight(client, ELSEWHERE).headers


def test_answers_and_problems_can_be_read_with_their_headers(make: Make) -> None:
    client = make(cors_origins=(HOME,))
    for path, status in (("/livez", 200), ("/models", 401), ("/nowhere", 404), ("/readyz", 503)):
        response = client.get(path, headers={"Origin": HOME})
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == HOME
        assert response.headers["vary"] == "Origin"
        exposed = set(response.headers["access-control-expose-headers"].split(", "))
        assert exposed == {"X-Request-ID", "X-Cache", "Server-Timing", "Retry-After", "Content-Disposition"}
        other = client.get(path, headers={"Origin": ELSEWHERE})
        assert other.status_code == status
        assert "access-control-allow-origin" not in other.headers
