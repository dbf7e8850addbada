"""The application without any worker: what it answers while nothing is loaded, and around every request."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from app.api.routes import routers
from app.inference.endpoint import Endpoint
from app.main import create_app
from app.settings import Settings
from tests.app.problems import is_problem

pytestmark = pytest.mark.process


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(
        Settings(timeout_s=0.5, decode_processes=1), [Endpoint(f"ipc://{tmp_path}/nobody", "secret")]
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_it_is_alive_but_not_ready(client: TestClient) -> None:
    assert client.get("/livez").status_code == 200
    response = client.get("/readyz")
    is_problem(response, 503, "starting")
    assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/score"), ("POST", "/compare"), ("GET", "/models"), ("GET", "/policies")]
)
def test_what_needs_models_says_that_it_is_starting(client: TestClient, method: str, path: str) -> None:
    is_problem(client.request(method, path), 503, "starting")


def test_draining_is_told_by_readyz_alone(client: TestClient) -> None:
    client.app.state.service.draining = True  # type: ignore[attr-defined]
    response = client.get("/readyz")
    is_problem(response, 503, "draining")
    assert response.headers["connection"] == "close"
    assert int(response.headers["retry-after"]) >= 1
    assert client.get("/livez").status_code == 200
    is_problem(client.post("/score"), 503, "starting")  # and not draining: it is still served


def test_a_fault_of_ours_tells_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("secret /path")

    monkeypatch.setattr(client.app.state.service, "require_ready", fail)  # type: ignore[attr-defined]
    response = client.get("/readyz")
    body = is_problem(response, 500, "internal-error")
    assert "secret" not in response.text
    assert "secret" in caplog.text
    assert str(body["request_id"]) in caplog.text


def test_one_line_is_logged_per_request(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="iqa.access"):
        client.get("/nowhere", headers={"X-Request-ID": "mine"})
        client.get("/livez")
    first, second = (vars(record)["fields"] for record in caplog.records if record.name == "iqa.access")
    assert (first["id"], first["status"], first["slug"], first["path"]) == (
        "mine",
        404,
        "not-found",
        "/nowhere",
    )
    assert (second["status"], second["path"]) == (200, "/livez")
    assert "slug" not in second


def test_what_is_asked_most_is_found_first() -> None:
    paths = [route.path for router, _ in routers() for route in router.routes if isinstance(route, APIRoute)]
    assert max(map(paths.index, ("/score", "/compare", "/score/batch"))) <= 5
