"""Reading bodies, from scripted messages."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.requests import Request

from app.body import ClientGone, read_files, read_image
from app.errors import BodyTimeout, BodyTooLarge, MalformedRequest

FORM = "multipart/form-data; boundary=edge"


def _request(chunks: list[bytes], headers: Mapping[str, str], ending: str = "end") -> Request:
    """A request whose body comes in chunks, and then ends, breaks off ("gone") or stays away ("wait")."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    if ending == "end":
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    if ending == "gone":
        messages.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.sleep(60)
        return messages.pop(0)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


def _image(chunks: list[bytes], headers: Mapping[str, str] | None = None, ending: str = "end") -> bytes:
    return asyncio.run(read_image(_request(chunks, headers or {}, ending), max_bytes=100, timeout_s=0.2))


def _part(name: str, data: bytes, headers: bytes = b"") -> bytes:
    return b'--edge\r\nContent-Disposition: form-data; name="%s"\r\n%s\r\n%s\r\n' % (
        name.encode(),
        headers,
        data,
    )


END = b"--edge--\r\n"


def test_raw_bytes() -> None:
    assert _image([b"ab", b"", b"cd"]) == b"abcd"


def test_a_form_cut_anywhere_reads_the_same() -> None:
    body = _part("image", b"\r\n--edg\r\n\0data", b'Content-Type: image/png\r\nX: "y"\r\n') + END
    for size in range(1, len(body)):
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        assert _image(chunks, {"content-type": FORM}) == b"\r\n--edg\r\n\0data"


def test_an_announced_length_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(BodyTooLarge):
        _image([], {"content-length": "101"}, ending="wait")


def test_what_arrives_counts_whatever_was_announced() -> None:
    with pytest.raises(BodyTooLarge):
        _image([b"x" * 60, b"x" * 60], {"content-length": "50"})


def test_a_part_is_limited_like_a_body() -> None:
    assert len(_image([_part("image", b"x" * 100), END], {"content-type": FORM})) == 100
    with pytest.raises(BodyTooLarge):
        _image([_part("image", b"x" * 101), END], {"content-type": FORM})


def test_a_slow_body_times_out() -> None:
    with pytest.raises(BodyTimeout):
        _image([b"abc"], ending="wait")


def test_a_client_that_leaves_is_noticed() -> None:
    with pytest.raises(ClientGone):
        _image([b"abc"], ending="gone")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        END,
        b"no boundary at all",
        _part("image", b"x"),
        _part("other", b"x") + END,
        _part("image", b"x") + _part("image", b"x") + END,
        _part("image", b"x") + _part("more", b"x") + END,
        b"--edge\r\nContent-Type: image/png\r\n\r\nx\r\n" + END,
        b"--edge\r\n" + b"X-%d: y\r\n" % 1 * 50 + b"\r\nx\r\n" + END,
    ],
)
def test_a_form_that_is_not_what_was_asked_for(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        _image([body], {"content-type": FORM})


def test_two_files() -> None:
    body = [_part("distorted", b"b"), _part("reference", b"a"), END]
    request = _request(body, {"content-type": FORM})
    files = asyncio.run(read_files(request, ("reference", "distorted"), 100, 1.0))
    assert files == {"reference": b"a", "distorted": b"b"}


def test_a_form_is_needed_for_two_files() -> None:
    with pytest.raises(MalformedRequest):
        asyncio.run(read_files(_request([b"x"], {}), ("reference", "distorted"), 100, 1.0))
