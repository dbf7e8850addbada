"""Hostile and odd requests: bodies, forms and HTTP, each with the answer to it."""

import gzip
from collections.abc import Iterator

from tests.app.door.case import (
    BAD_PARAMETER,
    BODY_TOO_LARGE,
    MALFORMED,
    MOST_BYTES,
    NO_IMAGE,
    Case,
    Expected,
    case,
    good,
    refused,
)
from tests.app.door.making import a_jpeg, a_png
from tests.app.door.wire import BARE, chunked, post

_BARE = Expected(400, BARE)
_LARGE_HEAD = Expected(431, BARE)
_NOT_FOUND = refused(404, "not-found")
_WRONG_METHOD = refused(405, "method-not-allowed")
_POST = b"POST /score HTTP/1.1\r\nHost: x\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_OVER = MOST_BYTES + 100_000


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _bodies()
    yield from _http()
    yield from _questions()
    yield from _routes()


def _bodies() -> Iterator[Case]:
    fine = good(format="PNG")
    yield case("body: in chunks", lambda: chunked("/score", _pieces(a_png(), 1000)), fine)
    yield case(
        "body: in chunks of a byte", lambda: chunked("/score", _pieces(a_jpeg(), 1)), good(format="JPEG")
    )
    yield case("body: no chunk", lambda: chunked("/score", []), MALFORMED)
    yield case(
        "body: announced too large, and never sent", lambda: post("/score", b"", length=_OVER), BODY_TOO_LARGE
    )
    yield case(
        "body: announced far too large, and never sent",
        lambda: post("/score", b"", length=10**18),
        BODY_TOO_LARGE,
    )
    yield case("body: too large", lambda: post("/score", bytes(_OVER)), BODY_TOO_LARGE)
    yield case("body: one byte too large", lambda: post("/score", bytes(MOST_BYTES + 1)), BODY_TOO_LARGE)
    yield case(
        "body: as large as may be", lambda: post("/score", a_png() + bytes(MOST_BYTES - len(a_png()))), fine
    )
    yield case(
        "body: too large in chunks", lambda: chunked("/score", _pieces(bytes(_OVER), 65_536)), BODY_TOO_LARGE
    )
    for coding in ("gzip", "deflate", "br", "identity, gzip"):
        yield case(
            f"body: packed by {coding}",
            lambda coding=coding: post("/score", gzip.compress(a_png()), {"Content-Encoding": coding}),  # type: ignore[misc]
            NO_IMAGE,
        )
    yield case(
        "body: an image that is said to be packed",
        lambda: post("/score", a_png(), {"Content-Encoding": "gzip"}),
        NO_IMAGE,
    )
    yield case(
        "body: said not to be packed", lambda: post("/score", a_png(), {"Content-Encoding": "identity"}), fine
    )
    yield case("body: packed without a word", lambda: post("/score", gzip.compress(a_png())), NO_IMAGE)
    yield case(
        "body: asked whether it may come", lambda: post("/score", a_png(), {"Expect": "100-continue"}), fine
    )
    yield case(
        "body: longer than it says",
        lambda: post("/score", a_jpeg(), length=2000),
        _BARE,
    )
    yield case("body: shorter than it says", lambda: post("/score", a_jpeg(), length=90_000), hangs_up=True)


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _http() -> Iterator[Case]:
    fine = good(format="PNG")
    yield case(
        "http: three requests at once",
        lambda: post("/score", a_png()) + post("/score", b"no image") + post("/score", a_jpeg()),
        fine,
        NO_IMAGE,
        good(format="JPEG"),
    )
    yield case(
        "http: a refusal before its body, and a request behind it",
        lambda: post("/score?models=none", a_png()) + post("/score", a_png()),
        refused(422, "unknown-model"),
        fine,
    )
    junk = {
        "rubbish": b"\x00\x01\x02\x03" * 50 + b"\r\n\r\n",
        "a greeting of TLS": bytes.fromhex("16030100ba010000b60303") + bytes(176),
        "another protocol's greeting": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "a method that there is not": b"BREW /score HTTP/1.1\r\nHost: test\r\n\r\n",
        "a header without a name": _POST + b": x\r\n\r\n",
        "a header with NUL": _POST + b"X-A: a\0b\r\n\r\n",
        "two lengths": _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        "a negative length": _POST + b"Content-Length: -1\r\n\r\n",
        "a length of letters": _POST + b"Content-Length: many\r\n\r\n",
        "a length beyond all numbers": _POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
        "a length and chunks": _POST + b"Content-Length: 3\r\n" + _CHUNKED + b"0\r\n\r\n",
        "a chunk of no size": _POST + _CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
        "a chunk longer than it says": _POST + _CHUNKED + b"2\r\nabcdef\r\n0\r\n\r\n",
        "a chunk beyond all numbers": _POST + _CHUNKED + b"f" * 30 + b"\r\n",
    }
    for name, data in junk.items():
        yield case(f"http: {name}", lambda data=data: data, _BARE)  # type: ignore[misc]
    large = {
        "a header of 1 MB": _POST + b"X-Long: " + b"x" * 2**20 + b"\r\nContent-Length: 0\r\n\r\n",
        "50,000 headers": b"GET /livez HTTP/1.1\r\n" + b"X-More: y\r\n" * 50_000 + b"\r\n",
    }
    for name, data in large.items():
        yield case(f"http: {name}", lambda data=data: data, _LARGE_HEAD)  # type: ignore[misc]
    yield case(
        "http: a chunk that never comes",
        lambda: _POST + _CHUNKED + b"ffff\r\nabc",
        hangs_up=True,
    )
    yield case("http: half a head", lambda: _POST + b"Content-Le", hangs_up=True)


def _questions() -> Iterator[Case]:
    for value in ("0", "-1", "1.5", "abc", "9" * 30, "1e3", "3600001", ""):
        yield case(
            f"question: X-Timeout-Ms of {value[:10]!r}",
            lambda value=value: post("/score", a_png(), {"X-Timeout-Ms": value}),  # type: ignore[misc]
            BAD_PARAMETER,
        )
    asked = {
        "models=clip": refused(422, "unknown-model"),
        "models=bpclip-fr": refused(422, "unknown-model"),
        "models=": BAD_PARAMETER,
        "models=,,": BAD_PARAMETER,
        "models=" + "x" * 20_000: refused(422, "unknown-model"),
        "models=bpclip&models=qualiclip": BAD_PARAMETER,
        "models=bpclip,bpclip": good(),
        "model=bpclip": BAD_PARAMETER,
        "nonsense=1": BAD_PARAMETER,
        "resize=none": BAD_PARAMETER,
        "policy=upload": good("policy-uncalibrated"),  # whose limits are of the bundled weights
        "policy=upload&models=qualiclip": BAD_PARAMETER,
        "policy=%00": BAD_PARAMETER,
        "policy=" + "x" * 20_000: BAD_PARAMETER,
        "quality_map=maybe": BAD_PARAMETER,
        "detail_crops=3": BAD_PARAMETER,
        "quality_map=true&quality_map=false": BAD_PARAMETER,
        "adjectives=gloomy": refused(422, "text-encoder-unavailable"),
        "adjectives=%3Cscript%3E": BAD_PARAMETER,
        "adjectives=" + ",".join(["word"] * 3) + "&adjectives=two": BAD_PARAMETER,
        "adjectives=%00": BAD_PARAMETER,
        "adjectives="
        + ",".join(f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(100)): BAD_PARAMETER,
        "models=%ff%fe": refused(422, "unknown-model"),
    }
    for query, expected in asked.items():
        yield case(f"question: {query[:40]}", lambda query=query: post(f"/score?{query}", a_png()), expected)  # type: ignore[misc]


def _routes() -> Iterator[Case]:
    for path in (
        "/nowhere",
        "/score/",
        "//score",
        "/v2/score",
        "/score/../models",
        "/%00",
        "/" + "x" * 50_000,
        "/problems/../../etc/passwd",
        "/docs/..%2f..%2fpyproject.toml",
    ):
        yield case(f"route: GET {path[:40]}", lambda path=path: _get(path), _NOT_FOUND)  # type: ignore[misc]
    for method, path in (
        ("GET", "/score"),
        ("PUT", "/score"),
        ("DELETE", "/models"),
        ("PATCH", "/compare"),
        ("POST", "/livez"),
        ("TRACE", "/score"),
        ("OPTIONS", "/score"),
    ):
        yield case(f"route: {method} {path}", lambda m=method, p=path: _get(p, m), _WRONG_METHOD)  # type: ignore[misc]


def _get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode("latin-1")
