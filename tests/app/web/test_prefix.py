"""Page and interactive reference behind real proxies that serve the service below a path."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.app.running import eventually, running
from tests.app.web.browser import await_counts, drop, opened
from tests.docker.balancing import end, free_ports, program

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not program(), reason="HAProxy is not installed (Debian: haproxy)"),
]

_TAKES_AWAY = "http-request replace-path '^/iqa(/.*)' '\\1'"
_SAYS_SO = "http-request set-header X-Forwarded-Prefix /iqa"
_FILE = """
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
frontend public
    bind 127.0.0.1:{port}
    http-request return status 404 unless {{ path -m beg /iqa/ }} or {{ path /iqa }}
    {rules}
    default_backend service
backend service
    server service {service}
"""


@pytest.fixture(scope="module")
def plain(weights_environment: dict[str, str]) -> Iterator[httpx.Client]:
    with running(weights_environment) as (_, client):
        yield client


@pytest.fixture(scope="module")
def mounted(weights_environment: dict[str, str]) -> Iterator[httpx.Client]:
    with running({"IQA_ROOT_PATH": "/iqa"} | weights_environment) as (_, client):
        yield client


@contextmanager
def _proxy(folder: Path, service: httpx.Client, *rules: str) -> Iterator[str]:
    """The address of the service below the prefix."""
    (port,) = free_ports("127.0.0.1")
    file = folder / "haproxy.cfg"
    address = f"{service.base_url.host}:{service.base_url.port}"
    file.write_text(_FILE.format(port=port, service=address, rules="\n    ".join(rules)), encoding="utf-8")
    process = subprocess.Popen([program(), "-db", "-q", "-f", str(file)])
    url = f"http://127.0.0.1:{port}/iqa"
    try:
        eventually(lambda: _answers(url), 30)
        yield url
    finally:
        end(process)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("with_setting", "rules"),
    [(False, (_TAKES_AWAY, _SAYS_SO)), (True, (_TAKES_AWAY,)), (True, ())],
    ids=["takes it away and says so", "takes it away", "leaves it there"],
)
def test_everything_works_below_it(
    browser: Browser,
    plain: httpx.Client,
    mounted: httpx.Client,
    photographs: dict[str, bytes],
    with_setting: bool,
    rules: tuple[str, ...],
    tmp_path: Path,
) -> None:
    with _proxy(tmp_path, mounted if with_setting else plain, *rules) as url:
        problem = httpx.post(f"{url}/score", content=b"text").json()
        explanation = httpx.get(httpx.URL(url).join(problem["type"]))
        assert f"<code>{problem['type'].rpartition('/')[2]}</code>" in explanation.text
        files = [("images", photographs["coffee.jpg"]), ("images", b"text")]
        lines = httpx.post(f"{url}/score/batch", files=files, timeout=60).text
        assert '"type":"/iqa/problems/unsupported-media-type"' in lines
        with opened(browser, f"{url}/") as page:
            drop(page, photographs)
            await_counts(page, "3 of 3 scored")
            page.get_by_role("link", name="API").click()
            operation = page.locator("#operations-quality-list_models, #operations-service-list_models")
            operation.get_by_role("button").first.click()
            operation.get_by_role("button", name="Try it out").click()
            operation.get_by_role("button", name="Execute").click()
            status = operation.locator(".live-responses-table tbody .response-col_status")
            expect(status).to_contain_text("200")
            expect(operation.locator(".request-url")).to_contain_text(f"{url}/models")


def test_a_proxy_that_says_nothing_still_shows_the_pages(
    browser: Browser, plain: httpx.Client, photographs: dict[str, bytes], tmp_path: Path
) -> None:
    with _proxy(tmp_path, plain, _TAKES_AWAY) as url:
        with opened(browser, f"{url}/") as page:
            drop(page, {"coffee.jpg": photographs["coffee.jpg"]})
            await_counts(page, "1 of 1 scored")
        with opened(browser, f"{url}/docs") as page:
            expect(page.locator(".opblock")).not_to_have_count(0)
