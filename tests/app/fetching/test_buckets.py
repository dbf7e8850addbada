"""Images in buckets, read from a real server of buckets on loopback."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from app.errors import BodyTooLarge, FetchFailed, FetchNotAllowed
from app.fetching import Allowed, AllowedBuckets, Fetcher
from app.settings import SettingsError, read_settings
from tests.app.bucket_server import bucket_server
from tests.app.running import running

_BUCKETS = AllowedBuckets.of(["s3://photos/public/", "gs://others"])


@pytest.mark.parametrize("url", ["s3://photos/public/a.jpg", "s3://photos/public/b/ü c.jpg", "gs://others/a"])
def test_a_named_bucket_may_be_read(url: str) -> None:
    place = _BUCKETS.find(url)
    assert place is not None
    assert f"{place.bucket}/{place.key}" == url


@pytest.mark.parametrize(
    "url",
    [
        *("s3://photos/private/a.jpg", "s3://photos/public", "s3://photos", "s3://photos2/public/a.jpg"),
        *("gs://photos/public/a.jpg", "az://others/a.jpg", "s3://photos/public/../private/a.jpg"),
        *("s3://photos/public/./a.jpg", "s3://photos/public//a.jpg", "gs://others/"),
    ],
)
def test_others_may_not(url: str) -> None:
    with pytest.raises(FetchNotAllowed):
        _BUCKETS.find(url)


def test_other_addresses_are_not_its_business() -> None:
    assert _BUCKETS.find("https://photos/public/a.jpg") is None
    assert _BUCKETS.find("s3:photos") is None


@pytest.mark.parametrize("entry", ["photos", "s3://", "s3://a b", "https://photos", "file:///photos"])
def test_what_names_no_bucket_is_told(entry: str) -> None:
    with pytest.raises(SettingsError, match="IQA_FETCH_BUCKETS"):
        read_settings(fetch_buckets=entry)


def test_without_its_library_the_settings_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.fetching.buckets.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"iqa-service\[cloud\]"):
        AllowedBuckets.of(["s3://photos"])
    assert not AllowedBuckets.of([])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, photo: bytes) -> Iterator[dict[str, str]]:
    """Variables of a server of buckets that holds a photograph."""
    with bucket_server(tmp_path_factory.mktemp("buckets") / "log.txt") as store:
        store.put("photos")
        store.put("photos/public/ü c.jpg", photo)
        store.put("photos/private.jpg", photo)
        yield store.environment


async def _fetched(url: str, most: int = 10**6) -> bytes:
    fetcher = Fetcher(Allowed(), most, 20.0, buckets=AllowedBuckets.of(["s3://photos/public/", "s3://none"]))
    async with fetcher.opened(), aclosing(fetcher.fetch(url)) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.mark.process
def test_an_object_is_brought(store: dict[str, str], photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    assert asyncio.run(_fetched("s3://photos/public/ü c.jpg")) == photo
    with pytest.raises(FetchFailed, match="no such object"):
        asyncio.run(_fetched("s3://photos/public/missing.jpg"))
    with pytest.raises(FetchFailed):
        asyncio.run(_fetched("s3://none/a.jpg"))
    with pytest.raises(BodyTooLarge):
        asyncio.run(_fetched("s3://photos/public/ü c.jpg", most=1000))
    with pytest.raises(FetchNotAllowed):
        asyncio.run(_fetched("s3://photos/private.jpg"))
    with pytest.raises(FetchNotAllowed):
        asyncio.run(_fetched("https://example.com/a.jpg"))


@pytest.mark.process
def test_a_service_scores_what_lies_in_a_bucket(
    store: dict[str, str], photo: bytes, weights_environment: dict[str, str]
) -> None:
    environment = {"IQA_FETCH_BUCKETS": "s3://photos", **store}
    with running(environment | weights_environment) as (_, client):
        asked = client.post("/score", json={"url": "s3://photos/public/ü c.jpg"})
        assert asked.status_code == 200, asked.text
        assert asked.json()["score"] == pytest.approx(
            client.post("/score", content=photo).json()["score"], abs=1e-4
        )
