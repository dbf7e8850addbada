"""Fetching: what comes, what is refused, and that nothing forbidden is ever dialed."""

import asyncio
import gzip
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing

import pytest
import trustme

from app.errors import BodyTooLarge, FetchFailed, FetchNotAllowed, Overloaded, ServiceError
from app.fetching.addresses import Address
from app.fetching.allowed import Allowed
from app.fetching.fetcher import Fetcher
from tests.app.fetching.site import Site, answer, open_site, redirect

_MOST = 100_000
_NAMED = ("images.test", "127.0.0.1/32")


class Resolver:
    """Answers in turn with these lists of addresses; the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[Address]:
        self.asked.append(host)
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ipaddress.ip_address(each) for each in found]


async def _fetched(fetcher: Fetcher, url: str, caller: object = None) -> bytes:
    async with aclosing(fetcher.fetch(url, str(caller))) as pieces:
        return b"".join([piece async for piece in pieces])


def _run(
    test: Callable[[Site, Fetcher], Awaitable[None]],
    hosts: Iterable[str] = _NAMED,
    resolver: Resolver | None = None,
    timeout_s: float = 20.0,
) -> None:
    """Runs a test with a site and a fetcher that may ask it."""

    async def body() -> None:
        async with open_site() as site:
            named = Allowed.of([*hosts, f"images.test:{site.port}"])
            fetcher = Fetcher(named, _MOST, timeout_s, resolver or Resolver(["127.0.0.1"]))
            async with fetcher.opened():
                await test(site, fetcher)

    asyncio.run(body())


def test_an_image_is_brought_without_anything_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        site.pages["/a.jpg?x=1"] = answer(b"image" * 1000)
        async with open_site() as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url(""))
            assert await _fetched(fetcher, site.url("/a.jpg?x=1", "images.test")) == b"image" * 1000
            assert proxy.connections == 0
        (head,) = site.heads
        sent = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:] if line}
        assert sent == {"host", "accept", "accept-encoding"}
        assert f"host: images.test:{site.port}\r\naccept" in head.lower()
        assert "identity" in head

    _run(test)


def test_a_redirect_is_followed_where_it_is_allowed() -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        site.pages["/a"] = redirect("/folder/b")
        site.pages["/folder/b"] = redirect("c?d")
        site.pages["/folder/c?d"] = answer(b"image")
        assert await _fetched(fetcher, site.url("/a", "images.test")) == b"image"

    _run(test)


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.2:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.2]:{port}/",
        "http://2130706434:{port}/",
        "http://0177.0.0.2:{port}/",
        "http://other.test:{port}/",
        "//127.0.0.2:{port}/",
        "ftp://images.test:{port}/",
        "file:///etc/passwd",
    ],
)
def test_no_redirect_leads_where_nobody_may_go(place: str) -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        async with open_site("127.0.0.2", site.port) as forbidden:
            site.pages["/a"] = redirect("/b")
            site.pages["/b"] = redirect(place.format(port=site.port))
            with pytest.raises(FetchNotAllowed):
                await _fetched(fetcher, site.url("/a", "images.test"))
            assert forbidden.connections == 0

    _run(test)


def test_redirects_come_to_an_end() -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        site.pages["/a"] = redirect("/a")
        with pytest.raises(FetchFailed, match="redirects more than 5 times"):
            await _fetched(fetcher, site.url("/a", "images.test"))
        assert len(site.heads) == 6

    _run(test)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.2"],
        ["::ffff:127.0.0.2"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["127.0.0.1", "127.0.0.2"],  # one of them is enough
    ],
)
def test_a_name_that_leads_elsewhere_is_not_dialed(addresses: list[str]) -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        async with open_site("127.0.0.2", site.port) as forbidden:
            with pytest.raises(FetchNotAllowed, match="not a public one"):
                await _fetched(fetcher, site.url("/a", "images.test"))
            assert site.connections == forbidden.connections == 0

    _run(test, resolver=Resolver(addresses))


def test_names_that_change_their_mind_are_judged_each_time_and_resolved_once() -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        site.pages["/a"] = answer(b"image", Connection="close")
        async with open_site("127.0.0.2", site.port) as forbidden:
            forbidden.pages["/a"] = answer(b"secret")
            url = site.url("/a", "images.test")
            assert await _fetched(fetcher, url) == b"image"
            assert resolver.asked == ["images.test"]  # not once to judge and once more to dial
            with pytest.raises(FetchNotAllowed):
                await _fetched(fetcher, url)
            assert forbidden.connections == 0

    resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])
    _run(test, resolver=resolver)


def test_numbers_that_are_written_in_other_ways_are_the_same_addresses() -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        for host in ("127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:7f00:1]"):
            with pytest.raises(FetchNotAllowed):
                await _fetched(fetcher, f"http://{host}/")
        assert site.connections == 0

    _run(test, hosts=["*"])


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        site.pages["/a"] = answer(b"image")
        assert await _fetched(fetcher, site.url("/a", "images.test")) == b"image"

    _run(test, ["127.0.0.0/8"], Resolver(["127.0.0.9", "127.0.0.1"]))


@pytest.mark.parametrize(
    ("page", "error", "detail"),
    [
        (answer(status="404 Not Found"), FetchFailed, "status 404"),
        (answer(b"partly", status="206 Partial Content"), FetchFailed, "status 206"),
        (answer(gzip.compress(b"0" * 10**6), Content_Encoding="gzip"), FetchFailed, "compressed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", BodyTooLarge, str(_MOST)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nimage", FetchFailed, None),  # and no more
        (b"what is this\r\n\r\n", FetchFailed, None),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 10**6 + b"\r\n\r\n", FetchFailed, None),
        (redirect(""), FetchFailed, None),
        (redirect("http://[::1"), FetchFailed, "no address"),
        (redirect("http://a:99999/"), FetchFailed, "no address"),
    ],
)
def test_what_is_no_image_is_told(page: bytes, error: type[ServiceError], detail: str | None) -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        async def write(writer: asyncio.StreamWriter) -> None:
            writer.write(page)
            await writer.drain()
            writer.close()

        site.pages["/a"] = write
        with pytest.raises(error, match=detail):
            await _fetched(fetcher, site.url("/a", "images.test"))

    _run(test)


def test_a_body_without_end_is_given_up() -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        async def write(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"1000\r\n" + bytes(4096) + b"\r\n")
                await writer.drain()

        site.pages["/a"] = write
        with pytest.raises(BodyTooLarge):
            await _fetched(fetcher, site.url("/a", "images.test"))

    _run(test)


def test_a_slow_body_is_given_up() -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        async def write(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)

        site.pages["/a"] = write
        with pytest.raises(FetchFailed, match=r"within 0\.3 s"):
            await _fetched(fetcher, site.url("/a", "images.test"))

    _run(test, timeout_s=0.3)


def test_nobody_there_is_told() -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        async with open_site() as other:
            pass
        with pytest.raises(FetchFailed, match="cannot be reached"):
            await _fetched(fetcher, other.url("/a"))

    _run(test)


def test_a_caller_has_half_of_the_fetches() -> None:
    async def test(site: Site, fetcher: Fetcher) -> None:
        gate = asyncio.Event()

        async def write(writer: asyncio.StreamWriter) -> None:
            await gate.wait()
            writer.write(answer(b"image"))

        site.pages["/slow"] = write
        site.pages["/a"] = answer(b"image")
        slow = [
            asyncio.create_task(_fetched(fetcher, site.url("/slow", "images.test"), "one")) for _ in range(16)
        ]
        async with asyncio.timeout(10):
            while site.connections < len(slow):
                await asyncio.sleep(0.01)
        with pytest.raises(Overloaded):
            await _fetched(fetcher, site.url("/a", "images.test"), "one")
        assert await _fetched(fetcher, site.url("/a", "images.test"), "other") == b"image"
        gate.set()
        assert await asyncio.gather(*slow) == [b"image"] * 16
        assert await _fetched(fetcher, site.url("/a", "images.test"), "one") == b"image"

    _run(test)


def test_nothing_is_fetched_unless_hosts_are_named() -> None:
    async def test() -> None:
        fetcher = Fetcher(Allowed(), _MOST, 5.0)
        async with open_site() as site, fetcher.opened():
            with pytest.raises(FetchNotAllowed, match="fetches nothing"):
                await _fetched(fetcher, site.url("/a"))
            assert site.connections == 0

    asyncio.run(test())


def test_certificates_are_verified_for_the_name_that_was_asked(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    bundle = tmp_path_factory.mktemp("authority") / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("images.test").configure_cert(tls)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))

    async def test() -> None:
        async with open_site(tls=tls) as site:
            site.pages["/a"] = answer(b"image")
            named = Allowed.of([f"*:{site.port}", "127.0.0.1"])
            fetcher = Fetcher(named, _MOST, 20.0, Resolver(["127.0.0.1"]))
            async with fetcher.opened():
                assert await _fetched(fetcher, site.url("/a", "images.test", "https")) == b"image"
                with pytest.raises(FetchFailed):
                    await _fetched(fetcher, site.url("/a", "other.test", "https"))
                assert len(site.heads) == 1

    asyncio.run(test())
