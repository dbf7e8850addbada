"""Reading bodies, from scripted messages."""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.requests import Request

from app.errors import BodyTimeout, BodyTooLarge, MalformedRequest, Overloaded, ServiceError
from app.http import request_body
from app.http.request_body import BodyBounds, ClientGone, RefusedFile, read_batch, read_files, read_image
from app.memory import Memory
from app.scoring.uploads import Intake, Upload

SMALL = BodyBounds(max_bytes=100, timeout_s=0.2)
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


def _image(
    chunks: list[bytes],
    headers: Mapping[str, str] | None = None,
    ending: str = "end",
    intake: Intake | None = None,
) -> bytes:
    intake = intake or Intake(1 << 20, Memory(1 << 31, 1 << 31))
    before = intake.held_bytes

    async def read() -> bytes:
        with intake.account() as account:
            upload = await read_image(_request(chunks, headers or {}, ending), SMALL, account)
            assert intake.held_bytes == before + upload.size
            return upload.data

    try:
        return asyncio.run(read())
    finally:
        assert intake.held_bytes == before


def _batch(
    chunks: list[bytes], ending: str = "end", most_files: int = 3, most_bytes: int = 250
) -> list[Upload | RefusedFile]:
    async def read() -> list[Upload | RefusedFile]:
        with Intake(1 << 20, Memory(1 << 31, 1 << 31)).account() as account:
            request = _request(chunks, {"content-type": FORM}, ending)
            files = read_batch(request, "images", most_files, most_bytes, SMALL, account)
            return [file async for file in files]

    return asyncio.run(read())


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
    assert _pair(body, {"content-type": FORM}) == {"reference": b"a", "distorted": b"b"}


def test_a_form_is_needed_for_two_files() -> None:
    with pytest.raises(MalformedRequest, match="`reference` and `distorted`"):
        _pair([b"x"], {})


def _pair(chunks: list[bytes], headers: Mapping[str, str]) -> dict[str, bytes]:
    async def read() -> dict[str, bytes]:
        with Intake(1 << 20, Memory(1 << 31, 1 << 31)).account() as account:
            request = _request(chunks, headers)
            files = await read_files(request, ("reference", "distorted"), SMALL, account)
            return {name: upload.data for name, upload in files.items()}

    return asyncio.run(read())


def test_who_finds_the_house_full_of_bytes_is_refused() -> None:
    intake = Intake(120, Memory(1 << 31, 1 << 31))
    with intake.account() as other:
        other.take(100)
        with pytest.raises(Overloaded):
            _image([b"x" * 10, b"x" * 11], intake=intake)
        assert _image([b"x" * 20], intake=intake) == b"x" * 20


def test_one_byte_at_a_time_is_the_same_file() -> None:
    assert _image([bytes([value]) for value in range(100)]) == bytes(range(100))


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        (b'filename="cat.jpg"', "cat.jpg"),
        (b'filename="../../etc/passwd"', "../../etc/passwd"),  # a name to know it by, never a path
        ('filename="Kätzchen.jpg"'.encode(), "Kätzchen.jpg"),
        ('filename="K\u00e4tzchen.jpg"'.encode("latin-1"), "K\u00e4tzchen.jpg"),
        (b'filename="a%22b%0d.jpg"', 'a"b\N{REPLACEMENT CHARACTER}.jpg'),
        (b'filename="100%.jpg"', "100%.jpg"),
        (b'filename*0="K\xe4t"; filename*1="zchen.jpg"', "K\u00e4tzchen.jpg"),
        (b"filename*0*=UTF-8''K%C3%A4t; filename*1=zchen.jpg", "K\u00e4tzchen.jpg"),
        (b'filename="cat.jpg"; filename*=nothing', "cat.jpg"),
        (b'filename="a\tb\x00c"', "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"),
        (b'filename="%s"' % (b"x" * 999), "x" * 255),
        (b"filename*=UTF-8''K%C3%A4tzchen.jpg", "K\u00e4tzchen.jpg"),
        (b"filename=\"cat.jpg\"; FileName*=UTF-8'en'%e2%82%ac%20a.jpg", "\u20ac a.jpg"),
        (b"filename*=iso-8859-1''%e4.jpg", "\u00e4.jpg"),
        (b"filename=\"cat.jpg\"; filename*=nothing''%e4.jpg", "cat.jpg"),
        (b'filename="=?UTF-8?B?S8OkdHpjaGVuLmpwZw==?="', "K\u00e4tzchen.jpg"),
        (b'filename="=?ISO-8859-1?Q?K=E4tzchen.jpg?="', "K\u00e4tzchen.jpg"),
        (b'filename="=?nothing?B?S8OkdHpjaGVuLmpwZw==?="', "=?nothing?B?S8OkdHpjaGVuLmpwZw==?="),
        (b"", None),
    ],
)
def test_filenames(disposition: bytes, filename: str | None) -> None:
    part = b'--edge\r\nContent-Disposition: form-data; name="images"; %s\r\n\r\nx\r\n' % disposition
    (file,) = _batch([part, END])
    assert file.filename == filename


def test_a_batch_has_its_files_in_order() -> None:
    body = b"".join(_part("images", data) for data in (b"one", b"", b"three")) + END
    for size in (1, 7, len(body)):
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        files = _batch(chunks)
        assert [file.data for file in files if isinstance(file, Upload)] == [b"one", b"", b"three"]


def test_files_are_there_before_the_body_ends() -> None:
    async def read() -> None:
        with Intake(1 << 20, Memory(1 << 31, 1 << 31)).account() as account:
            request = _request([_part("images", b"one"), b"--edge\r\n"], {"content-type": FORM}, "wait")
            files = read_batch(request, "images", 3, 250, SMALL, account)
            file = await anext(files)
            assert isinstance(file, Upload)
            assert file.data == b"one"
            with pytest.raises(BodyTimeout):
                await anext(files)

    asyncio.run(read())


def test_a_file_of_a_batch_that_is_too_large_harms_no_other() -> None:
    files = _batch([_part("images", b"x" * 101), _part("images", b"y"), END])
    first, second = files
    assert isinstance(first, RefusedFile)
    assert first.error.fields["limit_bytes"] == 100
    assert isinstance(second, Upload)
    assert second.data == b"y"


def test_a_pause_of_the_reader_is_not_the_clients() -> None:
    async def read() -> None:
        with Intake(1 << 20, Memory(1 << 31, 1 << 31)).account() as account:
            parts = [_part("images", b"x") for _ in range(3)]
            request = _request([*parts, END], {"content-type": FORM})
            # Of the 0.2 s none is spent waiting for the client.
            async for _ in read_batch(request, "images", 3, 100, SMALL, account):
                await asyncio.sleep(0.1)

    asyncio.run(read())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ([END], MalformedRequest),
        ([_part("images", b"x")], MalformedRequest),
        ([_part("image", b"x"), END], MalformedRequest),
        ([_part("images", b"x")] * 4 + [END], MalformedRequest),
        ([_part("images", b"x" * 100)] * 999 + [END], MalformedRequest),
        ([_part("images", b"x" * 90_000)] * 3 + [END], BodyTooLarge),
    ],
)
def test_a_batch_that_is_refused_as_a_whole(body: list[bytes], error: type[ServiceError]) -> None:
    with pytest.raises(error):
        _batch(body)


@pytest.mark.parametrize("name", [b"base64", b" BASE64 "])
def test_a_part_in_base64(name: bytes) -> None:
    data = bytes(range(80))
    coded = base64.encodebytes(data)
    body = _part("image", coded, b"Content-Transfer-Encoding: %s\r\n" % name) + END
    for size in range(1, len(body)):
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        assert _image(chunks, {"content-type": FORM}) == data


@pytest.mark.parametrize("name", [b"binary", b"8bit", b"7bit", b""])
def test_a_part_that_needs_no_decoding(name: bytes) -> None:
    body = _part("image", b"data", b"Content-Transfer-Encoding: %s\r\n" % name) + END
    assert _image([body], {"content-type": FORM}) == b"data"


@pytest.mark.parametrize(
    ("name", "data"), [(b"quoted-printable", b"x"), (b"base64", b"?!?!"), (b"base64", b"AAAAA")]
)
def test_a_part_that_cannot_be_decoded(name: bytes, data: bytes) -> None:
    body = _part("image", data, b"Content-Transfer-Encoding: %s\r\n" % name) + END
    with pytest.raises(MalformedRequest, match=r"base64"):
        _image([body], {"content-type": FORM})


@pytest.mark.parametrize("before", [b"\r\n", b"This is a message in parts.\r\n", b"--edg\r\nx--edge\r\n"])
def test_text_before_the_first_boundary_is_left_out(before: bytes) -> None:
    body = before + _part("image", b"data") + END
    for size in range(1, len(body)):
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        assert _image(chunks, {"content-type": FORM}) == b"data"


def test_a_body_must_come_at_a_least_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it has brought before: a client that sends much and falls silent holds all of it."""
    monkeypatch.setattr(request_body, "_RATED_S", 0.1)
    patient = BodyBounds(max_bytes=100_000, timeout_s=60, min_rate=1000)

    async def read(chunks: list[bytes]) -> Upload:
        with Intake(1 << 20, Memory(1 << 31, 1 << 31)).account() as account:
            return await read_image(_request(chunks, {}, "wait"), patient, account)

    for chunks in ([], [bytes(50)], [bytes(50_000)]):
        with pytest.raises(BodyTimeout, match="more slowly than 1000 bytes per second"):
            asyncio.run(asyncio.wait_for(read(chunks), 5))


@pytest.mark.slow
def test_a_batch_has_its_time_again_for_each_files_worth() -> None:
    hasty = BodyBounds(max_bytes=100, timeout_s=0.2)

    async def read(parts: int) -> float:
        chunks = [_part("images", bytes(90)) for _ in range(parts)]
        with Intake(1 << 20, Memory(1 << 31, 1 << 31)).account() as account:
            began = asyncio.get_running_loop().time()
            with pytest.raises(BodyTimeout):
                async for _ in read_batch(
                    _request(chunks, {"content-type": FORM}, "wait"), "images", 90, 1000, hasty, account
                ):
                    pass
            return asyncio.get_running_loop().time() - began

    few, many = asyncio.run(read(0)), asyncio.run(read(5))
    assert few < 0.4 < many
    assert many > 4 * few * 0.8
