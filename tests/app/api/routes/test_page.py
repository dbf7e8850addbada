"""The page's files as they are served; what they do in a browser is tested in tests/app/web."""

import gzip
import re
import tomllib
from pathlib import Path

import httpx
import pytest

from tests.app.problems import is_problem

_ROOT = Path(__file__).parents[4]
_WEB = _ROOT / "app" / "web"
_FILES = sorted(
    path.relative_to(_WEB).as_posix()
    for path in _WEB.rglob("*")
    if path.is_file() and path.name != "index.html"
)


@pytest.mark.process
@pytest.mark.parametrize("path", ["/", "/v1/"])
def test_the_page_allows_nothing_from_elsewhere(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    # With that policy none of these would do anything, and nothing is asked from another address.
    assert re.findall(r"<script>|<style|style=|\son\w+=|(?:src|href)=\"(?:/|https?:)", response.text) == []


@pytest.mark.process
@pytest.mark.parametrize("file", _FILES)
def test_each_file_is_served_and_shipped(client: httpx.Client, file: str) -> None:
    response = client.get(f"/web/{file}")
    assert response.content == (_WEB / file).read_bytes()
    kinds = {
        ".js": "text/javascript",
        ".css": "text/css",
        ".svg": "image/svg+xml",
        ".jpg": "image/jpeg",
        ".txt": "text/plain",
    }
    assert response.headers["content-type"].partition(";")[0] == kinds[Path(file).suffix]
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = project["tool"]["setuptools"]["package-data"]["app"]
    assert any(_WEB / file in _WEB.parent.glob(pattern) for pattern in shipped)


@pytest.mark.process
@pytest.mark.parametrize("path", ["/", "/web/app.js"])
def test_a_file_that_is_known_is_not_sent_again(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).content == first.content


@pytest.mark.process
@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP; q=0.8", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("", False),
    ],
)
def test_a_file_is_zipped_for_clients_that_take_it(client: httpx.Client, accepted: str, zipped: bool) -> None:
    with client.stream("GET", "/web/app.js", headers={"Accept-Encoding": accepted}) as response:
        raw = b"".join(response.iter_raw())
    content = (_WEB / "app.js").read_bytes()
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.headers.get("content-encoding") == ("gzip" if zipped else None)
    assert (gzip.decompress(raw) if zipped else raw) == content


@pytest.mark.process
def test_a_photograph_is_not_zipped(client: httpx.Client) -> None:
    assert "content-encoding" not in client.get("/web/example.jpg").headers


@pytest.mark.process
@pytest.mark.parametrize(
    "path",
    [
        *("index.html", "none.js", "", "set", "set/", "card.js", "set//card.js", "set/index.html"),
        *("..%2Fsettings.py", "%2e%2e/main.py", "set/..%2Fapp.js", "set/%2e%2e/app.js", "/etc/passwd"),
        *("set/..%2F..%2F..%2Fpyproject.toml", "%2Fetc%2Fpasswd", "set%5Ccard.js", "set/card.js%00"),
    ],
)
def test_nothing_else_is_served(client: httpx.Client, path: str) -> None:
    is_problem(client.get(f"/web/{path}"), 404, "not-found")


@pytest.mark.parametrize("file", [file for file in _FILES if file.endswith(".js")])
def test_scripts_make_no_markup_and_can_be_held_in_the_head(file: str) -> None:
    text = (_WEB / file).read_text(encoding="utf-8")
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
        == []
    )
    assert text.startswith("// ")
    assert len(text.splitlines()) <= 350
