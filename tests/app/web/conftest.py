"""A browser for the tests of a file, and a server for all of them that takes small files only."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser

from tests.app.files import encoded
from tests.app.running import running
from tests.app.web.browser import CHROMIUM, chromium
from tests.photographs import named

MAX_BODY_BYTES = 400_000


@pytest.fixture(scope="session")
def service(weights_environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of a running service that remembers its answers, as it does without settings."""
    limits = {"IQA_MAX_PIXELS": "1000000", "IQA_MAX_BODY_BYTES": str(MAX_BODY_BYTES)}
    unset = {"IQA_CACHE_BYTES": None, "IQA_DECODE_PROCESSES": None}
    with running(limits | unset | weights_environment) as (_, client):
        yield client


@pytest.fixture(scope="session")
def url(service: httpx.Client) -> str:
    """Where the page is."""
    return f"{service.base_url}/".replace("//", "/").replace(":/", "://")


@pytest.fixture(scope="session")
def browser_is_there() -> None:
    """Skips what needs a browser where there is none."""
    if not CHROMIUM.exists():
        pytest.skip("the page is tested in Chromium, which is not installed (Debian's package chromium)")


# Of one file's tests, and not longer: playwright keeps an event loop running, beside which others cannot.
@pytest.fixture(scope="module")
def browser(browser_is_there: None) -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def photographs() -> dict[str, bytes]:
    """Three photographs as files, by name."""
    return {
        "coffee.jpg": encoded(named()["coffee"], quality=90),
        "chelsea.png": encoded(named()["chelsea"], "PNG"),
        "china.webp": encoded(named()["china"], "WEBP", quality=80),
    }
