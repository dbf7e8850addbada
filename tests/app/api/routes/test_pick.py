"""POST /pick on a running server."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import Server, eventually, metric
from tests.photographs import named

pytestmark = pytest.mark.process


def _files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{number}.jpg", content)) for number, content in enumerate(contents)]


def _taken(pixels: np.ndarray, time: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "A camera"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = time
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85, exif=exif)
    return file.getvalue()


@pytest.fixture(scope="module")
def group() -> list[bytes]:
    """A photograph, another one, a smaller copy of the first, and its left part."""
    coffee = named()["coffee"]
    small = np.asarray(Image.fromarray(coffee).resize((300, 200)))
    return [
        encoded(coffee, quality=85),
        encoded(named()["china"], quality=60),
        encoded(small, quality=85),
        encoded(coffee[:, :500], quality=85),
    ]


def test_groups_and_the_image_to_keep(
    remembering_server: tuple[Server, httpx.Client], group: list[bytes]
) -> None:
    server, client = remembering_server
    response = client.post("/pick?models=bpclip", files=_files(*group), headers={"X-Request-ID": "picked"})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["model"] == "bpclip"
    first, second = answer["groups"]
    assert (first["images"], second["images"], second["keep"]) == ([0, 2, 3], [1], 1)
    assert second["reason"] == "No other photograph shows the same."
    assert [image["index"] for image in answer["images"]] == [0, 1, 2, 3]
    assert [image["filename"] for image in answer["images"]] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert [image["group"] for image in answer["images"]] == [0, 1, 0, 0]
    assert [image["index"] for image in answer["images"] if image["keep"]] == [first["keep"], 1]
    assert all((image["advantage"] is None) == image["keep"] for image in answer["images"])
    alone = client.post("/score?models=bpclip&detail=summary", content=group[2]).json()
    assert all(answer["images"][2][name] == alone[name] for name in ("score", "faults", "image"))
    eventually(lambda: [entry for entry in server.entries() if entry.get("id") == "picked"])
    (entry,) = [entry for entry in server.entries() if entry.get("id") == "picked"]
    assert (entry["path"], entry["images"], entry["failed"]) == ("/pick", 4, 0)


def test_the_answer_is_as_documented(remembering: httpx.Client, group: list[bytes]) -> None:
    import jsonschema_rs

    document = remembering.get("/openapi.json").json()
    described = document["paths"]["/pick"]["post"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    answer = remembering.post("/pick", files=_files(*group, b"no image")).json()
    jsonschema_rs.validate({**described, "components": document["components"]}, answer)


def test_a_bad_file_fails_no_other(remembering: httpx.Client, group: list[bytes]) -> None:
    answer = remembering.post("/pick", files=_files(group[0][:999], group[1], group[1])).json()
    assert answer["groups"][0]["images"] == [1, 2]
    problem = answer["images"][0]
    assert (problem["index"], problem["filename"]) == (0, "0.jpg")
    assert problem["type"] == "/problems/invalid-image"
    nothing = remembering.post("/pick", files=_files(b"no image", b"nor this")).json()
    assert nothing["groups"] == []
    assert [image["status"] for image in nothing["images"]] == [415, 415]


def test_frames_of_a_burst_by_their_time(remembering: httpx.Client) -> None:
    photo = Image.fromarray(named()["chelsea"])
    moved = photo.rotate(6, Image.Resampling.BICUBIC).crop((40, 30, photo.width - 20, photo.height - 40))
    frames = [np.asarray(photo.crop((0, 0, 400, 270))), np.asarray(moved)]
    for later, groups in (("12:00:01", [[0, 1]]), ("12:30:00", [[0], [1]])):
        times = ("2026:07:01 12:00:00", f"2026:07:01 {later}")
        contents = [_taken(pixels, time) for pixels, time in zip(frames, times, strict=True)]
        answer = remembering.post("/pick", files=_files(*contents)).json()
        assert [group["images"] for group in answer["groups"]] == groups


def test_the_same_image_is_scored_once(remembering: httpx.Client) -> None:
    photo = encoded(named()["coffee"][:200, :300], quality=73)
    before = metric(remembering, "iqa_batch_images_count")
    answers = [remembering.post("/pick", files=_files(photo, photo, photo)).json() for _ in range(2)]
    assert metric(remembering, "iqa_batch_images_count") == before + 1
    assert answers[0] == answers[1]
    assert answers[0]["groups"] == [{"keep": 0, "images": [0, 1, 2], "reason": "As good as the 2 others."}]


def test_bodies_that_are_rejected_as_a_whole(remembering: httpx.Client, photo: bytes) -> None:
    is_problem(remembering.post("/pick", content=photo), 400, "malformed-request")
    body = is_problem(remembering.post("/pick", files=_files(photo)), 400, "malformed-request")
    assert "send two or more in the field `images`" in body["detail"]
    body = is_problem(remembering.post("/pick", files=_files(*[photo] * 6)), 400, "malformed-request")
    assert body["max_files"] == 5  # the setting of that server
    is_problem(remembering.post("/pick?models=none", files=_files(photo, photo)), 422, "unknown-model")
    body = is_problem(
        remembering.post("/pick?adjectives=moody", files=_files(photo)), 422, "invalid-parameter"
    )
    assert body["known"] == ["models"]


def test_a_client_that_leaves_gives_everything_back(remembering: httpx.Client) -> None:
    photos = [encoded(named()["coffee"], quality=30 + number) for number in range(5)]
    with (
        pytest.raises(httpx.ReadTimeout),
        httpx.Client(base_url=remembering.base_url, timeout=0.05) as leaving,
    ):
        leaving.post("/pick", files=_files(*photos))
    eventually(lambda: metric(remembering, "iqa_queued_pixels") == 0)
    eventually(lambda: metric(remembering, "iqa_intake_bytes") == 0)


def test_a_queue_that_is_full_is_told_for_each_image(client: httpx.Client) -> None:
    photos: list[Any] = [encoded(named()["coffee"], quality=50 + number) for number in range(12)]
    eventually(lambda: metric(client, "iqa_queued_pixels") == 0)
    answer = client.post("/pick", files=_files(*photos)).json()
    rejected = [image for image in answer["images"] if "type" in image]
    assert {image["type"] for image in rejected} == {"/problems/overloaded"}
    assert all(image["retry_after"] >= 1 for image in rejected)
    assert 0 < len(rejected) < 12
