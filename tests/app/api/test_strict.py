"""What is refused from a request's head alone, HEAD itself, and the answer to methods that are not taken."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from app.inference.endpoint import Endpoint
from app.main import create_app
from app.settings import Settings
from tests.app.problems import is_problem

pytestmark = pytest.mark.process

_LISTS = ("/models", "/policies")
_OF_SCORE = ("models", "adjectives", "quality_map")
_READ = ["/livez", "/readyz", "/metrics", *_LISTS, "/docs", "/docs/favicon.png", "/openapi.json"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    where = f"ipc://{tmp_path_factory.mktemp('strict')}/nobody"
    app = create_app(Settings(decode_processes=1), [Endpoint(where, "secret")])
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("base", ["", "/v1"])
@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        (
            "POST",
            "/score",
            {"models", "quality_map", "detail_crops", "policy", "detail", "embedding"},
        ),
        (
            "POST",
            "/compare",
            {"models", "resize", "difference_map", "measures", "detail", "embedding", "policy"},
        ),
        ("POST", "/compare/map", {"resize"}),
        ("POST", "/pick", {"models"}),
        ("POST", "/calibrate", {"models"}),
        ("GET", "/models", set()),
        ("GET", "/policies", set()),
    ],
)
def test_an_unknown_parameter_is_named_with_those_that_exist(
    client: TestClient, method: str, path: str, known: set[str], base: str
) -> None:
    response = client.request(method, f"{base}{path}?model=bpclip")
    body = is_problem(response, 422, "invalid-parameter")
    assert body["parameter"] == "model"
    assert set(body["known"]) == known  # type: ignore[call-overload]
    assert all(f"`{name}`" in str(body["detail"]) for name in ("model", *known))


@pytest.mark.parametrize("path", ["/score/map", "/score/batch"])
def test_every_route_that_scores_is_strict(client: TestClient, path: str) -> None:
    is_problem(client.post(f"{path}?nonsense=1"), 422, "invalid-parameter")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("models=bpclip&models=qualiclip", "models"),
        ("models=bpclip&models=bpclip", "models"),
        ("models=&models=", "models"),
        ("quality_map=1&models=bpclip&quality_map=1", "quality_map"),
        ("Models=bpclip", "Models"),
        ("=1", ""),
        ("a", "a"),
        ("%00", "\x00"),
        ("x" * 5000, "x" * 40),
        ("models=bpclip&x=%ff", "x"),
    ],
)
def test_repeated_and_odd_parameters_are_refused(client: TestClient, query: str, parameter: str) -> None:
    body = is_problem(client.post(f"/score?{query}"), 422, "invalid-parameter")
    assert body["parameter"] == parameter


@pytest.mark.parametrize(
    "query", ["", "?", "?models=bpclip", "?models=bpclip&quality_map=false&adjectives=a"]
)
def test_known_parameters_are_let_through(client: TestClient, query: str) -> None:
    is_problem(client.post(f"/score{query}"), 503, "starting")


@pytest.mark.parametrize("path", [*_READ, "/problems/not-found"])
def test_others_overlook_what_is_added_to_their_address(client: TestClient, path: str) -> None:
    if path not in _LISTS:
        assert client.get(f"{path}?cache=1&cache=2").status_code in (200, 503)


@pytest.mark.parametrize(
    "values", [["soon"], ["0"], ["-1"], ["1.5"], ["3600001"], [""], ["100", "100"], ["1", "x"]]
)
def test_a_timeout_is_one_number_of_milliseconds(client: TestClient, values: list[str]) -> None:
    headers = [(b"X-Timeout-Ms", value.encode()) for value in values]
    response = client.post("/score", headers=headers)  # type: ignore[arg-type]
    body = is_problem(response, 422, "invalid-parameter")
    assert str(body["parameter"]).lower() == "x-timeout-ms"


@pytest.mark.parametrize(
    "path", ["/score", "/score/map", "/score/batch", "/compare", "/compare/map", "/pick", "/calibrate"]
)
@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "GZIP"])
def test_encoded_bodies_are_not_decoded(client: TestClient, path: str, encoding: str) -> None:
    response = client.post(path, headers={"Content-Encoding": encoding})
    body = is_problem(response, 415, "unsupported-media-type")
    assert "encoded bodies are not decoded" in str(body["detail"])
    assert body["reason"] == "encoded-body"


@pytest.mark.parametrize("encoding", ["identity", "Identity", "", "identity, identity"])
def test_a_body_may_say_that_it_is_as_it_is(client: TestClient, encoding: str) -> None:
    is_problem(client.post("/score", headers={"Content-Encoding": encoding}), 503, "starting")


@pytest.mark.parametrize("base", ["", "/v1"])
@pytest.mark.parametrize("path", [*_READ, "/problems/not-found", "/problems/none"])
def test_head_is_get_without_a_body(client: TestClient, path: str, base: str) -> None:
    head, get = client.head(base + path), client.get(base + path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    if path != "/metrics":  # it has grown in between
        assert head.headers["content-length"] == str(len(get.content))
    assert head.headers["content-type"] == get.headers["content-type"]
    assert set(head.headers) == set(get.headers)


def _looks(client: TestClient) -> float:
    """How often it was asked whether it is alive."""
    series = 'iqa_requests_total{route="/livez",slug="",status="200"} '
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(series)) for line in lines if line.startswith(series))


def test_the_log_and_the_metrics_tell_head_by_its_route(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    before = _looks(client)
    caplog.clear()
    with caplog.at_level("DEBUG", logger="iqa.access"):
        client.head("/livez")
    (entry,) = (vars(record)["fields"] for record in caplog.records if record.name == "iqa.access")
    assert (entry["method"], entry["path"]) == ("HEAD", "/livez")
    assert _looks(client) == before + 1


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("OPTIONS", "/score", "POST"),
        ("OPTIONS", "/livez", "GET, HEAD"),
        ("OPTIONS", "/v1/models", "GET, HEAD"),
        ("HEAD", "/score", "POST"),
        ("GET", "/compare", "POST"),
        ("DELETE", "/score/batch", "POST"),
        ("POST", "/metrics", "GET, HEAD"),
        ("PUT", "/problems/not-found", "GET, HEAD"),
        ("TRACE", "/docs", "GET, HEAD"),
        ("BREW", "/", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_taken_is_told_those_that_are(
    client: TestClient, method: str, path: str, allow: str
) -> None:
    response = client.request(method, path, headers={"Origin": "https://example.org"})
    assert response.status_code == 405
    assert response.headers["allow"] == allow
    assert not [name for name in response.headers if name.startswith("access-control")]
    if method != "HEAD":
        is_problem(response, 405, "method-not-allowed")
