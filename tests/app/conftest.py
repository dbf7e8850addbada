"""One real server for all tests that only ask it questions."""

from collections.abc import Iterator

import httpx
import pytest

from tests.app.files import encoded
from tests.app.running import running
from tests.photographs import named

# Room for one image at its scored size in two models, so that a second one at the same time is too many.
QUEUE_PIXELS = 2 * 384 * 384


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A photograph, 451x300 pixels, as a JPEG file."""
    return encoded(named()["chelsea"], quality=92)


@pytest.fixture(scope="session")
def client(weights_environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of a running service with random weights, a small queue and small limits."""
    environment: dict[str, str | None] = {
        "IQA_QUEUE_PIXELS": str(QUEUE_PIXELS),
        "IQA_MAX_PIXELS": "1000000",
        "IQA_MAX_BODY_BYTES": "2000000",
        "IQA_MAX_SIDE": "3000",
        "IQA_DECODE_PROCESSES": None,
    }
    with running(environment | weights_environment) as (_, client):
        yield client
