"""Local quality over HTTP: the numbers and the picture."""

import io

import httpx
import pytest
from PIL import Image

from tests.app.problems import is_problem

pytestmark = pytest.mark.process


def test_the_map_is_of_the_answers_model(client: httpx.Client, photo: bytes) -> None:
    grids = {}
    for models in ("bpclip", "qualiclip", "qualiclip,bpclip"):
        answer = client.post(f"/score?quality_map=true&models={models}", content=photo).json()
        found = answer["quality_map"]
        assert len(found["values"]) == found["height"]
        assert {len(row) for row in found["values"]} == {found["width"]}
        assert all(0 <= value <= 1 for row in found["values"] for value in row)
        grids[models] = found
    # 384 x 255 pixels are scored; BPCLIP mirrors what is missing of the last cell, QualiCLIP has none there.
    assert (grids["bpclip"]["width"], grids["bpclip"]["height"]) == (12, 8)
    assert grids["qualiclip,bpclip"] == grids["bpclip"]
    assert grids["qualiclip"] != grids["bpclip"]


def test_a_score_does_not_depend_on_the_map(client: httpx.Client, photo: bytes) -> None:
    with_map = client.post("/score?quality_map=1", content=photo).json()
    without = client.post("/score", content=photo).json()
    assert with_map["models"] == without["models"]
    assert without["quality_map"] is None


def test_the_picture_lies_over_the_image(client: httpx.Client, photo: bytes) -> None:
    for path in ("/score/map", "/v1/score/map?models=qualiclip"):
        response = client.post(path, files={"image": photo})
        assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
        with Image.open(io.BytesIO(response.content)) as picture:
            assert (picture.format, picture.size) == ("PNG", (384, 255))


def test_the_picture_is_refused_as_the_score_is(client: httpx.Client, photo: bytes) -> None:
    is_problem(client.post("/score/map", content=photo[:999]), 422, "invalid-image")
    is_problem(client.post("/score/map", content=b"%PDF-1.7"), 415, "unsupported-media-type")
    is_problem(client.post("/score/map?models=clip", content=photo), 422, "unknown-model")
    is_problem(client.post("/score/map?quality_map=true", content=photo), 422, "invalid-parameter")
    is_problem(client.get("/score/map"), 405, "method-not-allowed")


def test_the_picture_is_remembered(remembering: httpx.Client, photo: bytes) -> None:
    first, again = (remembering.post("/score/map", content=photo) for _ in range(2))
    assert (first.headers["x-cache"], again.headers["x-cache"]) == ("miss", "hit")
    assert first.content == again.content
