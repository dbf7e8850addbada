"""The prefix that a proxy serves the service below: what is believed of it, and what follows it."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from app.errors import PROBLEMS
from app.http.prefix import below, prefix_of
from app.inference.endpoint import Endpoint
from app.main import create_app
from app.settings import Settings

_SENT = {"X-Forwarded-Prefix": "/photos"}


@pytest.mark.parametrize(
    ("sent", "prefix"),
    [
        ([], "/own"),
        (["/iqa"], "/iqa"),
        (["/iqa/"], "/iqa"),
        (["/a/b-c.d_e~f"], "/a/b-c.d_e~f"),
        (["/outer, /inner"], "/outer/inner"),
        (["/outer", "/inner/"], "/outer/inner"),
        (["/outer,"], "/outer"),
        (["/"], "/own"),
        ([""], "/own"),
        (["iqa"], "/own"),
        (["//evil.example"], "/own"),
        (["/,/evil.example"], "/evil.example"),  # of this host
        (["/\\evil.example"], "/own"),
        (["https://evil.example"], "/own"),
        (["/a//b"], "/own"),
        (["/a/../b"], "/own"),
        (["/."], "/own"),
        (["/.well-known"], "/.well-known"),
        (["/a b"], "/own"),
        (["/a\r\nX: y"], "/own"),
        (["/a\n"], "/a"),
        (['/"><script>'], "/own"),
        (["/%2e%2e"], "/own"),
        (["/ä"], "/own"),
        (["/a?b"], "/own"),
        (["/a#b"], "/own"),
        (["/" + "a" * 255], "/" + "a" * 255),
        (["/" + "a" * 256], "/own"),
    ],
)
def test_a_prefix_counts_if_it_is_a_plain_path(sent: list[str], prefix: str) -> None:
    headers = Headers(raw=[(b"x-forwarded-prefix", value.encode("latin-1")) for value in sent])
    assert prefix_of(headers, "/own") == prefix


@pytest.mark.parametrize(
    ("path", "left"),
    [("/iqa/score", "/score"), ("/score", "/score"), ("/iqa", ""), ("/iqa/", "/"), ("/iqality", "/iqality"),
     ("/iqa/iqa/score", "/iqa/score"), ("/v1/iqa/score", "/v1/iqa/score")],
)  # fmt: skip
def test_the_setting_may_stand_in_the_path(path: str, left: str) -> None:
    assert below(path, "/iqa") == left
    assert below(path, "") == path


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(root_path="/iqa/", decode_processes=1)  # with a slash, as many write it
    app = create_app(settings, [Endpoint(f"ipc://{tmp_path_factory.mktemp('prefix')}/nobody", "secret")])
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.process
@pytest.mark.parametrize(("headers", "prefix"), [({}, "/iqa"), (_SENT, "/photos")])
@pytest.mark.parametrize("at", ["", "/iqa"])
@pytest.mark.parametrize("version", ["", "/v1"])
def test_what_is_answered_follows_the_prefix(
    client: TestClient, headers: dict[str, str], prefix: str, at: str, version: str
) -> None:
    def type_of(path: str) -> str:
        return str(client.get(f"{at}{version}{path}", headers=headers).json()["type"])

    assert type_of("/nowhere") == f"{prefix}/problems/not-found"
    assert type_of("/score") == f"{prefix}/problems/method-not-allowed"
    assert type_of("/models?x=1") == f"{prefix}/problems/invalid-parameter"
    assert type_of("/readyz") == f"{prefix}/problems/starting"
    assert client.get(f"{at}{version}/problems/not-found", headers=headers).status_code == 200

    document = client.get(f"{at}{version}/openapi.json", headers=headers).json()
    assert [server["url"] for server in document["servers"]] == [prefix, f"{prefix}/v1"]
    assert "/score" in document["paths"]
    examples = document["paths"]["/score"]["post"]["responses"]["422"]["content"]["application/problem+json"]
    assert {example["value"]["type"] for example in examples["examples"].values()} <= {
        f"{prefix}/problems/{slug}" for slug in PROBLEMS
    }
    for page, link in (("/docs", "openapi.json"), ("/docs", "docs/swagger-ui.css"), ("/", "web/app.js")):
        assert link in client.get(f"{at}{version}{page}", headers=headers).text
        seen = urljoin(f"https://example.org{prefix}{version}{page}", link)
        inside = seen.removeprefix(f"https://example.org{prefix}")
        assert client.get(f"{at}{inside}", headers=headers).status_code == 200


@pytest.mark.process
def test_the_document_without_a_prefix_is_not_changed_by_one(client: TestClient, tmp_path: Path) -> None:
    app = create_app(Settings(decode_processes=1), [Endpoint(f"ipc://{tmp_path}/nobody", "secret")])
    with TestClient(app) as plain:
        before = plain.get("/openapi.json").json()
        assert plain.get("/openapi.json", headers=_SENT).json() != before
        assert plain.get("/openapi.json", headers={"X-Forwarded-Prefix": "//evil"}).json() == before
        assert before["servers"][0]["url"] == "/"
        # The header says what a proxy has taken away: of a path, nothing more is.
        assert plain.get("/photos/livez", headers=_SENT).status_code == 404


@pytest.mark.process
def test_the_prefix_alone_leads_to_the_page(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    response = client.get("/iqa?a=1", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (308, "/iqa/?a=1")
    assert response.headers["x-request-id"]
    assert "text/html" in client.get("/iqa").headers["content-type"]
    with caplog.at_level("DEBUG", logger="iqa.access"):
        client.get("/iqa/livez")
    (entry,) = (record for record in caplog.records if record.name == "iqa.access")
    assert (entry.levelname, vars(entry)["fields"]["path"]) == ("DEBUG", "/iqa/livez")
