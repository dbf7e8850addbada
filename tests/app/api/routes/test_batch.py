"""POST /score/batch on a running server."""

import json
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api.routes.batch import NDJSON
from tests.app.api.conftest import MAX_BODY_BYTES
from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import Server, eventually, metric
from tests.photographs import named

pytestmark = pytest.mark.process

Line = dict[str, Any]


def _lines(response: httpx.Response) -> dict[int, Line]:
    """The lines of an answer by the index of their file."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == NDJSON
    lines = [json.loads(line) for line in response.text.splitlines()]
    found = {line["index"]: line for line in lines}
    assert sorted(found) == list(range(len(lines)))
    return found


def _files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{number}.jpg", content)) for number, content in enumerate(contents)]


def test_each_file_has_a_line(remembering_server: tuple[Server, httpx.Client], photo: bytes) -> None:
    server, client = remembering_server
    other = encoded(named()["coffee"], quality=85)
    too_large = bytes(MAX_BODY_BYTES + 1)
    response = client.post(
        "/score/batch",
        files=_files(photo, photo[:5000], too_large, other, b""),
        headers={"X-Request-ID": "all"},
    )
    lines = _lines(response)
    assert [lines[index]["filename"] for index in range(5)] == [f"{index}.jpg" for index in range(5)]
    slugs = [lines[index].get("type") for index in range(5)]
    assert slugs == [
        None, "/problems/invalid-image", "/problems/body-too-large", None, "/problems/malformed-request"
    ]  # fmt: skip
    assert all(line["request_id"] == "all" for line in lines.values() if "type" in line)
    for index, file in ((0, photo), (3, other)):
        alone = client.post("/score", content=file).json()
        line = lines[index]
        assert set(line) == {"index", "filename", *alone}
        assert line["models"] == alone["models"]
        assert line["image"] == alone["image"]
    eventually(lambda: [entry for entry in server.entries() if entry.get("id") == "all"])
    (entry,) = [entry for entry in server.entries() if entry.get("id") == "all"]
    assert (entry["path"], entry["images"], entry["failed"], entry["status"]) == ("/score/batch", 5, 3, 200)


def test_lines_are_as_documented(remembering: httpx.Client, photo: bytes) -> None:
    document = remembering.get("/openapi.json").json()
    described = document["paths"]["/score/batch"]["post"]["responses"]["200"]["content"][NDJSON]["schema"]
    lines = _lines(remembering.post("/score/batch", files=_files(photo, b"no image")))
    for line in lines.values():
        jsonschema_rs.validate({**described, "components": document["components"]}, line)
        jsonschema_rs.validate(
            {
                "$ref": f"#/components/schemas/{'BatchProblem' if 'type' in line else 'BatchScore'}",
                "components": document["components"],
            },
            line,
        )


def test_questions_are_those_of_score(remembering: httpx.Client, photo: bytes) -> None:
    answer = remembering.post("/v1/score/batch?models=qualiclip&quality_map=true", files=_files(photo))
    line = _lines(answer)[0]
    assert list(line["models"]) == ["qualiclip"]
    assert (line["quality_map"]["width"], line["quality_map"]["height"]) == (12, 8)
    is_problem(remembering.post("/score/batch?models=none", files=_files(photo)), 422, "unknown-model")


def test_the_same_image_twice_is_scored_once(remembering: httpx.Client) -> None:
    photo = encoded(named()["coffee"][:200, :300], quality=71)
    before = metric(remembering, "iqa_batch_images_count")
    lines = _lines(remembering.post("/score/batch", files=_files(photo, photo, photo)))
    assert metric(remembering, "iqa_batch_images_count") == before + 1
    assert lines[0]["score"] == lines[1]["score"] == lines[2]["score"]


def test_a_file_without_a_name(remembering: httpx.Client, photo: bytes) -> None:
    boundary = b"edge"
    body = b'--edge\r\nContent-Disposition: form-data; name="images"\r\n\r\n' + photo + b"\r\n--edge--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}
    assert _lines(remembering.post("/score/batch", content=body, headers=headers))[0]["filename"] is None


def test_bodies_that_are_refused_as_a_whole(remembering: httpx.Client, photo: bytes) -> None:
    is_problem(remembering.post("/score/batch", content=photo), 400, "malformed-request")
    is_problem(remembering.post("/score/batch", files={"image": photo}), 400, "malformed-request")
    body = is_problem(remembering.post("/score/batch", files=_files(*[photo] * 6)), 400, "malformed-request")
    assert body["max_files"] == 5
    announced = remembering.post("/score/batch", files=_files(bytes(9 * MAX_BODY_BYTES)))
    is_problem(announced, 413, "body-too-large")


def test_a_queue_that_fills_midway_is_said_in_the_lines(client: httpx.Client) -> None:
    photos = [encoded(named()["coffee"], quality=50 + number) for number in range(12)]
    eventually(lambda: metric(client, "iqa_queued_pixels") == 0)  # what other tests have left is over
    counts = (
        'iqa_rejected_total{slug="overloaded"}',
        'iqa_batch_files_total{outcome="failed"}',
        'iqa_batch_files_total{outcome="scored"}',
    )
    before = [metric(client, name) for name in counts]
    lines = _lines(client.post("/score/batch", files=_files(*photos)))
    refused = [line for line in lines.values() if "type" in line]
    counted = [metric(client, name) - value for name, value in zip(counts, before, strict=True)]
    assert counted == [len(refused), len(refused), 12 - len(refused)]
    assert {line["type"] for line in refused} == {"/problems/overloaded"}
    assert all(line["retry_after"] >= 1 for line in refused)
    assert 0 < len(refused) < 12


@pytest.mark.parametrize("after", ["the first line", "nothing"])
def test_who_leaves_gives_everything_back(remembering: httpx.Client, after: str) -> None:
    photos = [encoded(named()["coffee"], quality=30 + number) for number in range(5)]
    with (
        httpx.Client(base_url=remembering.base_url, timeout=60) as leaving,
        leaving.stream("POST", "/score/batch", files=_files(*photos)) as response,
    ):
        assert response.status_code == 200
        if after == "the first line":
            next(response.iter_lines())
    eventually(lambda: metric(remembering, "iqa_queued_pixels") == 0)
    eventually(lambda: metric(remembering, "iqa_intake_bytes") == 0)
