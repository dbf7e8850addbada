"""A server that remembers its answers, as it does without settings, and that takes small files only."""

from collections.abc import Iterator

import httpx
import pytest

from tests.app.running import Server, running

MAX_BODY_BYTES = 200_000


@pytest.fixture(scope="session")
def remembering_server(weights_environment: dict[str, str]) -> Iterator[tuple[Server, httpx.Client]]:
    environment = {"IQA_CACHE_BYTES": None, "IQA_MAX_BODY_BYTES": str(MAX_BODY_BYTES), "IQA_MAX_FILES": "5"}
    with running(environment | weights_environment) as (server, client):
        yield server, client


@pytest.fixture
def remembering(remembering_server: tuple[Server, httpx.Client]) -> httpx.Client:
    """A client of that server."""
    return remembering_server[1]
