"""POST /calibrate on a running server."""

import json
import tomllib
from typing import Any

import httpx
import numpy as np
import pytest

from app.policies import parse
from models.vocabulary import DIMENSIONS
from tests.app.problems import is_problem

pytestmark = pytest.mark.process


def _photographs(count: int, seed: int, shift: float = 0.0) -> list[dict[str, Any]]:
    chance = np.random.default_rng(seed)

    def one() -> dict[str, Any]:
        logits = 1 - shift + 0.6 * chance.normal() + 0.5 * chance.normal(size=len(DIMENSIONS))
        score, *rest = (1 / (1 + np.exp(-logits))).round(4).tolist()
        names = (each for each in DIMENSIONS if each != "overall")
        return {
            "score": score,
            "dimensions": dict(zip(names, rest, strict=True)),
            "exposure": {"p99_luminance": 0.9, "clipped_highlights": round(float(chance.beta(0.2, 9)), 4)},
        }

    return [one() for _ in range(count)]


def _ask(client: httpx.Client, query: str = "", **asking: Any) -> httpx.Response:
    return client.post(f"/calibrate{query}", json=asking)


def test_the_limits_are_those_of_the_command(remembering: httpx.Client) -> None:
    import jsonschema_rs

    good, bad = _photographs(60, 1), _photographs(12, 2, shift=3)
    response = _ask(remembering, "?models=bpclip", good=good, bad=bad, reject_at_most=0.05, name="shop")
    assert response.status_code == 200, response.text
    answer = response.json()
    document = remembering.get("/openapi.json").json()
    described = document["paths"]["/calibrate"]["post"]
    schema = described["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema_rs.validate({**schema, "components": document["components"]}, answer)
    asked = described["requestBody"]["content"]["application/json"]["schema"]
    jsonschema_rs.validate(
        {**asked, "components": document["components"]},
        {"good": good, "bad": bad, "reject_at_most": 0.05, "review_at_most": 0.2, "name": "x", "weights": ""},
    )
    assert (answer["model"], len(answer["good"]), len(answer["bad"])) == ("bpclip", 60, 12)
    assert answer["good"].count("fail") <= answer["fail"]["high"]
    assert answer["bad"].count("fail") >= 10
    assert answer["fail"]["kept"]
    assert answer["sentences"][0].startswith("Of photographs like the good ones ")
    policy = parse(answer["toml"], "the answer")["shop"]
    limits = [(each.about, each.fail, each.review) for each in policy.limits]
    told = [each["limit"] for each in answer["limits"]]
    assert limits == [
        (each["dimension"] or each["exposure"] or "score", each["fail"], each["review"]) for each in told
    ]
    (loaded,) = (each for each in remembering.get("/models").json()["models"] if each["name"] == "bpclip")
    assert tomllib.loads(answer["toml"])["shop"]["weights"] == {"bpclip": loaded["weights"]["sha256"]}
    scores = [each["score"] for each in good]
    (of_score,) = (each for each in answer["limits"] if each["limit"]["measure"] == "score")
    assert of_score["nearest"] == sorted(range(60), key=lambda place: scores[place])[:6]


def test_too_few_are_said_to_be_too_few(remembering: httpx.Client) -> None:
    body = is_problem(_ask(remembering, good=_photographs(19, 1)), 422, "invalid-parameter")
    assert "19 good photographs are too few" in body["detail"]
    answer = _ask(remembering, good=_photographs(25, 1), reject_at_most=0.01).json()
    assert not answer["fail"]["kept"]
    assert any("give more, or allow a larger share." in each for each in answer["sentences"])


def test_what_cannot_be_calibrated_is_rejected(remembering: httpx.Client) -> None:
    good = _photographs(20, 1)
    wordless = [{name: value for name, value in good[0].items() if name != "dimensions"}]
    for asking, said in (
        ({"good": good, "name": "My Shop"}, "`name` has 1 to 64"),
        ({"good": good, "review_at_most": 0.01}, "must exceed `reject_at_most`"),
        ({"good": good, "weights": "0" * 64}, "score the photographs again"),
        ({"good": wordless * 20}, "`good.0.dimensions` lacks brightness"),
    ):
        assert said in is_problem(_ask(remembering, **asking), 422, "invalid-parameter")["detail"]
    for asking, said in (
        ({"good": [*good[:3], {**good[3], "score": 2}]}, "at `good.3.score`"),
        ({"good": [good[0]] * 501}, "at `good`"),
        ({"good": good, "images": []}, "at `images`"),
        ({"good": good, "reject_at_most": 0}, "at `reject_at_most`"),
    ):
        assert said in is_problem(_ask(remembering, **asking), 400, "malformed-request")["detail"]
    content = json.dumps({"good": good})
    body = is_problem(remembering.post("/calibrate", content=content), 400, "malformed-request")
    assert "application/json" in body["detail"]
