"""What is remembered, as a client sees it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import metric
from tests.photographs import named

pytestmark = pytest.mark.process

BATCHES = "iqa_batch_images_count"
SEEN = "iqa_useful_pixels_total"


def _picture(seed: int) -> bytes:
    """A file that no other test has sent."""
    pixels = named()["chelsea"].copy()
    pixels[:8, :8] = np.random.default_rng(seed).integers(0, 256, (8, 8, 3))
    return encoded(pixels, quality=80)


def _untimed(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert set(answer.pop("timing_ms")) == {"decode", "queue", "inference", "total"}
    return answer


def test_the_same_question_has_the_same_answer(remembering: httpx.Client) -> None:
    picture = _picture(1)
    first = remembering.post("/score", content=picture)
    before = metric(remembering, BATCHES)
    again = remembering.post("/v1/score", files={"image": picture})
    assert [each.headers["x-cache"] for each in (first, again)] == ["miss", "hit"]
    assert _untimed(first) == _untimed(again)
    assert metric(remembering, BATCHES) == before
    timing = again.json()["timing_ms"]
    assert (timing["decode"], timing["queue"], timing["inference"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "query",
    [
        "?models=bpclip",
        "?quality_map=true",
        "?detail_crops=true",
        "?embedding=true",
        "?models=bpclip,qualiclip",
    ],
)
def test_another_question_has_an_answer_of_its_own(remembering: httpx.Client, query: str) -> None:
    picture = _picture(2)
    remembering.post("/score", content=picture)
    different = remembering.post(f"/score{query}", content=picture)
    assert different.headers["x-cache"] == "miss"
    assert remembering.post(f"/score{query}", content=picture).headers["x-cache"] == "hit"


def test_one_byte_more_is_another_file(remembering: httpx.Client) -> None:
    picture = _picture(3)
    answers = [_untimed(remembering.post("/score", content=picture + b"\0" * extra)) for extra in (0, 1)]
    assert answers[0]["image"]["sha256"] != answers[1]["image"]["sha256"]
    assert [answer["image"]["bytes"] for answer in answers] == [len(picture), len(picture) + 1]


def test_who_asks_the_same_at_the_same_time_shares_the_work(remembering: httpx.Client) -> None:
    picture = _picture(4)
    before = metric(remembering, BATCHES)
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: remembering.post("/score", content=picture), range(8)))
    outcomes = [response.headers["x-cache"] for response in responses]
    assert outcomes.count("miss") == 1
    assert set(outcomes) <= {"miss", "joined", "hit"}
    assert metric(remembering, BATCHES) == before + 1
    first, *others = (_untimed(response) for response in responses)
    assert all(other == first for other in others)


def test_refusals_are_not_remembered(remembering: httpx.Client) -> None:
    damaged = _picture(5)[:-2000]
    for _ in range(2):
        response = remembering.post("/score", content=damaged)
        is_problem(response, 422, "invalid-image")
        assert "x-cache" not in response.headers


def test_without_a_cache_everything_is_worked_out(client: httpx.Client, photo: bytes) -> None:
    before = metric(client, BATCHES)
    for _ in range(2):
        assert client.post("/score", content=photo).headers["x-cache"] == "miss"
    assert metric(client, BATCHES) == before + 2


def test_a_reference_is_decoded_and_encoded_once(remembering: httpx.Client, client: httpx.Client) -> None:
    reference = _picture(6)
    seen, answers = [metric(remembering, SEEN)], []
    for seed in (7, 8):
        files = {"reference": reference, "distorted": _picture(seed)}
        response = remembering.post("/compare", files=files)
        answers.append(_untimed(response))
        assert response.headers["x-cache"] == "miss"
        seen.append(metric(remembering, SEEN))
        fresh = _untimed(client.post("/compare", files=files))
        for key in ("score", "signal"):
            assert answers[-1][key] == pytest.approx(fresh[key], abs=5e-3)
    # Two models look at each image and one at the pair; of a known reference nothing is looked at again.
    assert seen[2] - seen[1] == (seen[1] - seen[0]) / 2
    assert answers[0]["reference"]["models"] == answers[1]["reference"]["models"]
    assert answers[0]["reference"]["image"] == answers[1]["reference"]["image"]
    # Nor is what was not asked for before missing now.
    vector = _untimed(remembering.post("/compare?embedding=true", files=files))["reference"]["embedding"]
    assert vector is not None
    # Models that were not asked before are asked about it all the same.
    files["distorted"] = _picture(9)
    alone = _untimed(remembering.post("/compare?models=qualiclip", files=files))
    assert list(alone["reference"]["models"]) == ["qualiclip"]
    assert alone["reference"]["score"] == answers[0]["reference"]["models"]["qualiclip"]["score"]


def test_a_reference_and_its_comparisons_are_told_apart(remembering: httpx.Client) -> None:
    one, other = _picture(10), _picture(11)
    there = _untimed(remembering.post("/compare", files={"reference": one, "distorted": other}))
    back = _untimed(remembering.post("/compare", files={"reference": other, "distorted": one}))
    assert there["reference"]["image"] == back["distorted"]["image"]
    assert there["reference"]["score"] == pytest.approx(back["distorted"]["score"], abs=5e-3)
    same = _untimed(remembering.post("/compare", files={"reference": one, "distorted": one}))
    assert same["signal"]["psnr_db"] is None
    assert same["score"] != there["score"]


def test_a_summary_is_made_of_what_is_remembered(remembering: httpx.Client) -> None:
    picture = _picture(71)
    full = _untimed(remembering.post("/score", content=picture))
    brief = remembering.post("/score?detail=summary", content=picture)
    assert brief.headers["x-cache"] == "hit"
    assert brief.json()["summary"] == full["summary"]
    assert _untimed(remembering.post("/score", content=picture)) == full
