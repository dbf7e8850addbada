"""What is sent, and what answers mean."""

import io
import json
import os
import pickle
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from app.client import requests
from app.client.errors import ImageUnreadable, Misunderstood, Problem
from app.client.requests import Call
from app.schemas.score import ScoreAnswer
from tests.app.client.answers import JPEG, bare, problem, score_body
from tests.photographs import named

_CALL = Call("POST", "v1/score", request_id="ours")


def _failure(response: httpx.Response) -> Problem:
    found = requests.failure(response, response.content, _CALL)
    assert isinstance(found, Problem)
    return found


def test_the_query_has_what_was_asked_for_and_no_more() -> None:
    assert requests.parameters() == {}
    assert requests.parameters(
        ["bpclip", "qualiclip"], "moody,cinematic", quality_map=True, detail_crops=True, policy="upload"
    ) == {
        "models": "bpclip,qualiclip",
        "adjectives": "moody,cinematic",
        "quality_map": "true",
        "detail_crops": "true",
        "policy": "upload",
    }
    assert requests.parameters("bpclip", resize="reference") == {"models": "bpclip", "resize": "reference"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "iqa.test",
        "iqa.test:8000",
        "ftp://iqa.test",
        "http://",
        "http://user:secret@iqa.test",
        "http://a/?b=1",
    ],
)
def test_an_address_must_be_one(url: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        requests.address(url)
    assert "secret" not in str(caught.value)


def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated() -> None:
    for key in ("", "sec ret", "secret\n", "sécret"):
        with pytest.raises(ValueError, match="key") as caught:
            requests.headers(key)
        assert "cret" not in str(caught.value)
    assert requests.headers("secret")["Authorization"] == "Bearer secret"
    assert "Authorization" not in requests.headers(None)
    assert requests.headers(None)["User-Agent"].startswith("iqa-service-client/")


class _Dripping(io.RawIOBase):
    """A file that gives what it has in small pieces."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    def read(self, size: int = -1) -> bytes:
        piece, self._left = self._left[:5], self._left[5:]
        return piece


def test_images_are_read_from_whatever_carries_bytes(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(JPEG)
    for image in (JPEG, path, str(path), io.BytesIO(JPEG), _Dripping(JPEG)):
        assert requests.content_of(image, 100) == JPEG  # type: ignore[arg-type]
    with path.open("rb") as file:
        file.seek(2)
        assert requests.content_of(file, 100) == JPEG[2:]


@pytest.mark.parametrize("filled", [True, False])
def test_a_pipe_of_the_shell_is_read(tmp_path: Path, filled: bool) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as pipe:
        if filled:
            pipe.write(JPEG)
        pipe.close()
        if filled:
            assert requests.content_of(f"/dev/fd/{reading}", 100) == JPEG
        else:
            with pytest.raises(ImageUnreadable, match="It is empty"):
                requests.content_of(f"/dev/fd/{reading}", 100)


def test_pixels_are_sent_as_they_are() -> None:
    pixels = named()["chelsea"]
    for image in (pixels, Image.fromarray(pixels)):
        with Image.open(io.BytesIO(requests.content_of(image, 10**7))) as sent:
            assert sent.format == "PNG"
            np.testing.assert_array_equal(np.asarray(sent), pixels)
    gray = pixels[..., 0]
    with Image.open(io.BytesIO(requests.content_of(gray, 10**7))) as sent:
        np.testing.assert_array_equal(np.asarray(sent), gray)
    with pytest.raises(ImageUnreadable, match="more than 100 bytes"):
        requests.content_of(pixels, 100)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((8, 8, 3), np.float32), "has to be uint8, from 0 to 255; it has the type <f4"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"shape \(H, W\) or \(H, W, 3\), not \(2, 8, 8, 3\)"),
        (Image.new("HSV", (8, 8)), "mode HSV cannot be sent; convert it to RGB"),
    ],
)
def test_pixels_that_no_file_has_are_a_mistake_of_the_program(pixels: requests.HasPixels, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        requests.content_of(pixels, 10**7)


def test_what_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    pipe, empty, long = tmp_path / "pipe", tmp_path / "empty.jpg", tmp_path / "long.jpg"
    os.mkfifo(pipe)
    empty.touch()
    long.write_bytes(bytes(101))
    closed = io.BytesIO()
    closed.close()
    for image, sentence in (
        (tmp_path / "none.jpg", "There is no such file."),
        (tmp_path, "It is not a file."),
        (pipe, "It is not a file."),
        ("a\0b", "It cannot be read: embedded null byte."),
        (empty, "It is empty."),
        (b"", "It is empty."),
        (long, "It has more than 100 bytes."),
        (_Dripping(bytes(101)), "It has more than 100 bytes."),
        (closed, "The open file cannot be read: I/O operation on closed file.."),
    ):
        with pytest.raises(ImageUnreadable) as caught:
            requests.content_of(image, 100)  # type: ignore[arg-type]
        assert caught.value.detail.replace("..", ".") == sentence.replace("..", ".")
        assert caught.value.of_image
        assert not caught.value.passing
    with pytest.raises(ImageUnreadable, match=r"none\.jpg: There is no such file") as caught:
        requests.content_of(tmp_path / "none.jpg", 100)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize("image", [None, 7, io.StringIO("text")])
def test_what_is_no_image_at_all_is_a_mistake_of_the_program(image: object) -> None:
    with pytest.raises(TypeError, match="bytes"):
        requests.content_of(image, 100)  # type: ignore[arg-type]


def test_what_a_newer_service_adds_is_passed_over() -> None:
    body = score_body() | {"aesthetics": 0.7}
    body["image"]["camera"] = "a box"
    body["models"]["bpclip"]["adjectives"][0]["weight"] = 2
    answer = requests.parsed(ScoreAnswer, httpx.Response(200, json=body).content, _CALL)
    assert answer.score == 0.5
    assert answer.image.width == 64


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"score": 0.5}', b"\xff"])
def test_what_is_no_answer_is_not_taken_for_one(body: bytes) -> None:
    with pytest.raises(Misunderstood, match=r"POST /v1/score"):
        requests.parsed(ScoreAnswer, body, _CALL)


def test_a_picture_is_one() -> None:
    assert requests.png(b"\x89PNG\r\n\x1a\n...", _CALL).endswith(b"...")
    with pytest.raises(Misunderstood, match="no PNG"):
        requests.png(b"<html>", _CALL)


def test_a_problem_is_told_in_full() -> None:
    found = _failure(problem("overloaded", 7, waiting=3))
    assert (found.slug, found.status, found.title) == ("overloaded", 429, "The queue is full")
    assert (found.detail, found.request_id) == ("The queue is full.", "served")
    assert (found.retry_after, found.fields) == (7.0, {"waiting": 3})
    assert str(found) == "overloaded: The queue is full. (request served)"


@pytest.mark.parametrize(
    ("slug", "passing", "of_image"),
    [
        ("malformed-request", False, True),
        ("unauthorized", False, False),
        ("not-found", False, False),
        ("body-timeout", True, False),
        ("body-too-large", False, True),
        ("unsupported-media-type", False, True),
        ("invalid-image", False, True),
        ("image-too-large", False, True),
        ("image-too-small", False, True),
        ("invalid-parameter", False, False),
        ("unknown-model", False, False),
        ("text-encoder-unavailable", False, False),
        ("overloaded", True, False),
        ("rate-limited", True, False),
        ("starting", True, False),
        ("draining", True, False),
        ("worker-unavailable", True, False),
        ("internal-error", False, True),
        ("poison-input", False, True),
        ("deadline-exceeded", True, False),
    ],
)
def test_each_problem_is_the_image_s_or_everybody_s(slug: str, passing: bool, of_image: bool) -> None:
    found = _failure(problem(slug))
    assert (found.slug, found.passing, found.of_image) == (slug, passing, of_image)


def test_what_a_proxy_answers_is_a_problem_without_a_slug() -> None:
    found = _failure(bare(502))
    assert (found.slug, found.status, found.passing, found.request_id) == ("", 502, True, "ours")
    assert "502 Bad Gateway" in found.detail
    assert not _failure(bare(403)).passing
    assert not _failure(bare(500)).of_image
    assert _failure(bare(413)).of_image
    assert "elsewhere, to https://other.test/" in str(_failure(bare(302, Location="https://other.test/")))


@pytest.mark.parametrize("wait", ["", "-1", "1e9", "soon", "9999999999", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_only_seconds_are_waited_for(wait: str) -> None:
    assert _failure(bare(503, **{"Retry-After": wait})).retry_after is None


def test_a_broken_problem_is_still_one() -> None:
    for text in ("", "[]", "{", '{"type": 7}', '{"type": "/problems/../../etc"}'):
        response = httpx.Response(422, headers={"Content-Type": "application/problem+json"}, text=text)
        assert (_failure(response).slug, _failure(response).status) == ("", 422)


@pytest.mark.parametrize("prefix", ["", "/iqa", "/a/b-c.d"])
def test_a_problem_may_come_from_below_a_prefix(prefix: str) -> None:
    found = _failure(
        httpx.Response(
            422,
            headers={"Content-Type": "application/problem+json"},
            json={"type": f"{prefix}/problems/invalid-image", "detail": "It is damaged."},
        )
    )
    assert (found.slug, str(found.detail)) == ("invalid-image", "It is damaged.")


def test_errors_travel_between_processes() -> None:
    found = _failure(problem("overloaded", 7, waiting=3))
    again = pickle.loads(pickle.dumps(found))
    assert vars(again) == vars(found)
    assert str(again) == str(found)


def test_an_answer_of_an_earlier_server_has_the_names_of_today() -> None:
    body = json.dumps(score_body(0.25)).replace("cleanness", "noisiness").encode()
    answer = requests.parsed(ScoreAnswer, body, _CALL)
    assert answer.dimensions is not None
    assert answer.dimensions.cleanness == 0.25
    assert "noisiness" not in answer.model_dump_json()
