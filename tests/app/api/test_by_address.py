"""JSON that says where images lie, in place of images, to a running server."""

import hashlib
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.app.fetching.site import Site, answer, redirect, standing_site
from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import running
from tests.photographs import named

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def site(photo: bytes) -> Iterator[Site]:
    with standing_site() as site:
        site.pages |= {
            "/photos/cat%20one.jpg": answer(photo),
            "/bad.jpg": answer(encoded(named()["chelsea"], quality=5)),
            "/moved": redirect("/photos/cat%20one.jpg"),
            "/text": answer(b"It is no image."),
            "/nothing": answer(b""),
        }
        yield site


@pytest.fixture(scope="module")
def fetching(weights_environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of a server that may fetch from this machine."""
    environment = {
        "IQA_FETCH_HOSTS": "127.0.0.1,images.example.com",
        "IQA_MAX_BODY_BYTES": "200000",
        "IQA_MAX_FILES": "6",
        "IQA_CACHE_BYTES": None,
    }
    with running(environment | weights_environment) as (_, client):
        yield client


def test_an_image_is_scored_by_its_address(fetching: httpx.Client, site: Site, photo: bytes) -> None:
    sent = fetching.post("/score", content=photo).json()
    response = fetching.post("/score", json={"url": site.url("/photos/cat%20one.jpg")})
    assert response.status_code == 200, response.text
    assert response.headers["x-cache"] == "hit"  # by what the image is, and not where it lies
    assert response.json()["score"] == sent["score"]
    assert response.json()["image"]["sha256"] == hashlib.sha256(photo).hexdigest()
    moved = fetching.post("/score?detail=summary", json={"url": site.url("/moved")})
    assert moved.json()["score"] == pytest.approx(sent["score"], abs=1e-4)
    assert fetching.post("/score/map", json={"url": site.url("/moved")}).content.startswith(b"\x89PNG")


def test_a_pair_is_compared_by_its_addresses(fetching: httpx.Client, site: Site, photo: bytes) -> None:
    asked = {"reference": {"url": site.url("/moved")}, "distorted": {"url": site.url("/bad.jpg")}}
    response = fetching.post("/compare", json=asked)
    assert response.status_code == 200, response.text
    files = {"reference": photo, "distorted": encoded(named()["chelsea"], quality=5)}
    assert response.json()["score"] == pytest.approx(
        fetching.post("/compare", files=files).json()["score"], abs=1e-4
    )
    asked["distorted"] = {"url": site.url("/text")}
    assert is_problem(fetching.post("/compare", json=asked), 415, "unsupported-media-type")
    asked["reference"] = {"url": site.url("/missing")}
    assert is_problem(fetching.post("/compare", json=asked), 502, "fetch-failed")


def test_a_batch_is_scored_by_its_addresses(fetching: httpx.Client, site: Site) -> None:
    paths = ["/photos/cat%20one.jpg", "/missing", "/bad.jpg", "/text"]
    urls = [*map(site.url, paths), "http://127.0.0.2/a"]
    response = fetching.post("/score/batch", json={"images": [{"url": url} for url in urls]})
    assert response.status_code == 200, response.text
    lines = {line["index"]: line for line in map(json.loads, response.text.splitlines())}
    assert [lines[index].get("status", 200) for index in range(5)] == [200, 502, 200, 415, 403]
    assert lines[0]["filename"] == "cat one.jpg"
    assert lines[0]["score"] > 0
    too_many = fetching.post("/score/batch", json={"images": [{"url": urls[0]}] * 7})
    assert is_problem(too_many, 400, "malformed-request")


@pytest.mark.parametrize(
    ("path", "status", "slug"),
    [
        ("/missing", 502, "fetch-failed"),
        ("/nothing", 502, "fetch-failed"),
        ("/text", 415, "unsupported-media-type"),
    ],
)
def test_what_cannot_be_fetched_is_told(
    fetching: httpx.Client, site: Site, path: str, status: int, slug: str
) -> None:
    response = fetching.post("/score", json={"url": site.url(path)})
    assert is_problem(response, status, slug)
    assert "127.0.0.1" not in response.text


@pytest.mark.parametrize(
    "url", ["http://127.0.0.2/", "http://169.254.169.254/latest/meta-data/", "https://example.org/a.jpg"]
)
def test_what_is_not_named_is_not_fetched(fetching: httpx.Client, url: str) -> None:
    assert is_problem(fetching.post("/score", json={"url": url}), 403, "fetch-not-allowed")


@pytest.mark.parametrize(
    "text",
    ["{", '{"url": 5}', '{"url": ""}', "{}", '{"url": "http://127.0.0.1/", "more": 1}', '{"URL": "x"}'],
)
def test_json_of_another_form_is_told(fetching: httpx.Client, text: str) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}
    for path in ("/score", "/compare", "/score/batch"):
        response = fetching.post(path, content=text, headers=headers)
        assert is_problem(response, 400, "malformed-request")
        assert '"url": "https://..."' in response.json()["detail"]


def test_an_image_that_is_said_to_be_json_is_an_image(fetching: httpx.Client, photo: bytes) -> None:
    response = fetching.post("/score", content=photo, headers={"content-type": "application/json"})
    assert response.status_code == 200


def test_nothing_is_fetched_unless_a_host_is_named(client: httpx.Client, site: Site) -> None:
    connections = site.connections
    url = site.url("/photos/cat%20one.jpg")
    for path, asked in (
        ("/score", {"url": url}),
        ("/compare", {"reference": {"url": url}, "distorted": {"url": url}}),
    ):
        assert is_problem(client.post(path, json=asked), 403, "fetch-not-allowed")
    assert site.connections == connections
