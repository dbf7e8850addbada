"""Verdicts on a running server, and GET /policies."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import Server, metric
from tests.photographs import named

pytestmark = pytest.mark.process

BUILT_IN = ["upload", "catalog", "portrait", "training-set"]

BATCHES = "iqa_batch_images_count"
_TOO_BRIGHT = "The photograph is too bright: large parts have lost their detail to white."


def _picture(seed: int) -> bytes:
    """A file that no other test has sent, 451x300 pixels."""
    pixels = named()["chelsea"].copy()
    pixels[-8:, -8:] = np.random.default_rng(seed).integers(0, 256, (8, 8, 3))
    return encoded(pixels, quality=80)


def _untimed(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    answer.pop("timing_ms")
    return answer


def test_a_verdict_says_what_was_missed_and_by_how_much(remembering: httpx.Client) -> None:
    answer = _untimed(remembering.post("/score?policy=nothing", content=_picture(1)))
    verdict = answer["verdict"]
    assert (verdict["policy"], verdict["outcome"]) == ("nothing", "fail")
    sharpness, blurry, side, score = verdict["reasons"]
    assert sharpness == {
        "measure": "dimension",
        "model": "qualiclip",
        "dimension": "sharpness",
        "adjective": None,
        "comparison": None,
        "exposure": None,
        "outcome": "fail",
        "value": answer["models"]["qualiclip"]["dimensions"]["sharpness"],
        "limit": 1.0,
        "message": "The photograph is not sharp enough.",
    }
    words = {each["adjective"]: each["probability"] for each in answer["models"]["bpclip"]["adjectives"]}
    assert (blurry["measure"], blurry["adjective"], blurry["dimension"]) == ("adjective", "blurry", None)
    assert (blurry["value"], blurry["limit"]) == (words["blurry"], 0.0)
    assert blurry["message"] == "It is blurry."
    assert (side["measure"], side["model"], side["outcome"]) == ("size", None, "review")
    assert (side["value"], side["limit"], side["message"]) == (300, 1000, "Come nearer.")
    assert (score["measure"], score["model"], score["value"]) == ("score", "bpclip", answer["score"])


def test_what_is_too_dark_or_too_bright_is_told_by_its_exposure(remembering: httpx.Client) -> None:
    photo = named()["chelsea"]

    def judged(pixels: Any) -> dict[str, Any]:
        picture = encoded(pixels, quality=90)
        answer = _untimed(remembering.post("/score?policy=light", content=picture))
        # The limits of exposure need no model, so any one is enough.
        alone = _untimed(remembering.post("/score?policy=light&models=qualiclip", content=picture))
        assert alone["verdict"] == answer["verdict"]
        return answer

    dark, bright = (
        judged((0.15 * photo).astype(np.uint8)),
        judged(np.minimum(3.2 * photo, 255).astype(np.uint8)),
    )
    assert judged(photo)["verdict"] == {"policy": "light", "outcome": "pass", "reasons": []}
    assert dark["verdict"]["reasons"] == [
        {
            "measure": "exposure",
            "model": None,
            "dimension": None,
            "adjective": None,
            "comparison": None,
            "exposure": "p99_luminance",
            "outcome": "fail",
            "value": dark["facts"]["exposure"]["p99_luminance"],
            "limit": 0.05,
            "message": "Too dark: turn on the light.",
        }
    ]
    assert [(each["exposure"], each["message"]) for each in bright["verdict"]["reasons"]] == [
        ("clipped_highlights", _TOO_BRIGHT)
    ]


def test_who_passes_has_no_reasons(remembering: httpx.Client) -> None:
    answer = remembering.post("/v1/score?policy=everything", files={"image": _picture(2)}).json()
    assert answer["verdict"] == {"policy": "everything", "outcome": "pass", "reasons": []}


def test_one_scoring_serves_every_policy(remembering: httpx.Client) -> None:
    picture = _picture(3)
    plain = _untimed(remembering.post("/score", content=picture))
    before = metric(remembering, BATCHES)
    for policy in ("everything", "nothing", "everything"):
        response = remembering.post(f"/score?policy={policy}", content=picture)
        assert response.headers["x-cache"] == "hit"
        judged = _untimed(response)
        verdict = judged["verdict"]
        assert verdict["policy"] == policy
        why = {"summary": verdict["reasons"][0]["message"]} if verdict["outcome"] == "fail" else {}
        assert judged == plain | {"verdict": verdict} | why
    assert _untimed(remembering.post("/score", content=picture)) == plain
    assert metric(remembering, BATCHES) == before


def test_a_verdict_goes_with_a_map_of_quality(remembering: httpx.Client) -> None:
    picture = _picture(4)
    plain = _untimed(remembering.post("/score?quality_map=true", content=picture))
    judged = _untimed(remembering.post("/score?quality_map=true&policy=nothing", content=picture))
    assert judged["quality_map"] == plain["quality_map"] is not None
    assert judged["verdict"]["outcome"] == "fail"


def test_limits_of_other_weights_are_applied_with_a_warning(remembering: httpx.Client) -> None:
    answer = _untimed(remembering.post("/score?policy=of-others", content=_picture(5)))
    assert answer["verdict"]["outcome"] == "pass"
    (warning,) = (each for each in answer["warnings"] if each.startswith("policy-"))
    assert warning == (
        "policy-uncalibrated: the limits of the policy of-others were found with other weights of qualiclip "
        "than qualiclip-tiny, so they may be too strict or too lax."
    )


def test_the_log_tells_of_limits_of_other_weights(remembering_server: tuple[Server, httpx.Client]) -> None:
    server, _ = remembering_server
    told = [entry for entry in server.entries() if "policy-uncalibrated" in entry["message"]]
    assert [entry["level"] for entry in told] == ["warning"]
    assert "of-others were found with other weights of qualiclip than qualiclip-tiny" in told[0]["message"]


def test_verdicts_are_counted_from_the_start_and_once_for_each_answer(remembering: httpx.Client) -> None:
    series = {
        (policy, outcome): f'iqa_verdicts_total{{outcome="{outcome}",policy="{policy}"}}'
        for policy in ("everything", "nothing", "of-others", "light", "upload", "catalog")
        for outcome in ("pass", "review", "fail")
    }
    text = remembering.get("/metrics").text
    assert all(f"\n{each} " in text for each in series.values())
    before = {key: metric(remembering, each) for key, each in series.items()}
    picture = _picture(6)
    for _ in range(2):
        remembering.post("/score?policy=nothing", content=picture)
    remembering.post("/score", content=picture)
    files = [("images", picture), ("images", b"no image"), ("images", _picture(7))]
    lines = remembering.post("/score/batch?policy=nothing", files=files).text.splitlines()
    answers = [json.loads(line) for line in lines]
    assert sorted(each["verdict"]["outcome"] for each in answers if "verdict" in each) == ["fail", "fail"]
    after = {key: metric(remembering, each) for key, each in series.items()}
    assert {key: after[key] - before[key] for key in series if after[key] > before[key]} == {
        ("nothing", "fail"): 4
    }


@pytest.mark.parametrize("path", ["/score", "/score/batch"])
def test_an_unknown_policy_is_refused_with_those_that_there_are(remembering: httpx.Client, path: str) -> None:
    body = is_problem(remembering.post(f"{path}?policy=uplaod"), 422, "invalid-parameter")
    assert body["parameter"] == "policy"
    known = [*BUILT_IN, "everything", "nothing", "of-others", "light"]
    assert body["known"] == known
    assert body["detail"] == f"There is no policy 'uplaod'; there are: {', '.join(known)}."


def test_a_policy_is_refused_where_its_model_is_not_asked(remembering: httpx.Client) -> None:
    body = is_problem(remembering.post("/score?policy=nothing&models=bpclip"), 422, "invalid-parameter")
    assert body["detail"] == "The policy nothing needs the model qualiclip too, which is not asked."
    # A limit that names no model is not to be held against another one's number.
    body = is_problem(remembering.post("/score?policy=upload&models=qualiclip"), 422, "invalid-parameter")
    assert body["detail"] == "The policy upload needs the model bpclip too, which is not asked."
    alone = remembering.post("/score?policy=everything&models=qualiclip", content=_picture(8))
    assert alone.json()["verdict"]["outcome"] == "pass"


@pytest.mark.parametrize("path", ["/score/map", "/compare/map"])
def test_where_no_verdict_is_made_none_can_be_asked_for(remembering: httpx.Client, path: str) -> None:
    body = is_problem(remembering.post(f"{path}?policy=upload"), 422, "invalid-parameter")
    assert body["parameter"] == "policy"


@pytest.mark.parametrize("base", ["", "/v1"])
def test_the_policies_are_listed_with_their_limits(remembering: httpx.Client, base: str) -> None:
    policies = remembering.get(f"{base}/policies").json()["policies"]
    upload, transcode, _, _, _, everything, nothing, others, close, light = policies
    assert [each["name"] for each in policies if each["built_in"] and not each["needs_reference"]] == BUILT_IN
    assert (upload["name"], upload["built_in"]) == ("upload", True)
    assert upload["description"]
    assert upload["origin"]
    assert everything == {
        "name": "everything",
        "built_in": False,
        "description": "Nothing is turned away.",
        "origin": None,
        "models": [],
        "weights": {},
        "side": None,
        "pixels": {"fail": 1, "review": None, "message": "The photograph has too few pixels."},
        "not_a_photograph": None,
        "needs_reference": False,
        "grade": None,
        "misaligned": None,
        "comparisons": [],
        "strong_fault": None,
        "limits": [],
        "warnings": [],
    }
    assert (transcode["name"], transcode["needs_reference"]) == ("transcode", True)
    assert transcode["grade"]["fail"] == "annoying"
    assert (close["needs_reference"], close["misaligned"], close["limits"]) == (True, "fail", [])
    assert close["comparisons"][0] == {
        "measure": "psnr_db",
        "bad": "below",
        "fail": 20.0,
        "review": 60.0,
        "message": "Too far apart.",
    }
    assert nothing["models"] == ["bpclip", "qualiclip"]
    assert nothing["origin"] == "Set for a test."
    assert nothing["side"] == {"fail": None, "review": 1000, "message": "Come nearer."}
    score, sharpness, blurry = nothing["limits"]
    assert score == {
        "measure": "score",
        "model": None,
        "dimension": None,
        "adjective": None,
        "exposure": None,
        "bad": "below",
        "fail": None,
        "review": 1.0,
        "message": "The quality of the photograph is too low.",
    }
    assert (sharpness["dimension"], sharpness["model"], sharpness["fail"]) == ("sharpness", "qualiclip", 1.0)
    assert (blurry["adjective"], blurry["bad"]) == ("blurry", "above")
    assert others["weights"] == {"bpclip": "bpclip-tiny", "qualiclip": "qualiclip-large"}
    assert len(others["warnings"]) == 1
    assert light["models"] == []
    assert light["limits"] == [
        {
            "measure": "exposure",
            "model": None,
            "dimension": None,
            "adjective": None,
            "exposure": exposure,
            "bad": bad,
            "fail": fail,
            "review": review,
            "message": message,
        }
        for exposure, bad, fail, review, message in (
            ("p99_luminance", "below", 0.05, 0.1, "Too dark: turn on the light."),
            ("clipped_highlights", "above", 0.5, None, _TOO_BRIGHT),
        )
    ]


def test_the_document_names_the_policies(remembering: httpx.Client) -> None:
    paths = remembering.get("/openapi.json").json()["paths"]
    for path in ("/score", "/score/batch"):
        parameters = {each["name"]: each for each in paths[path]["post"]["parameters"]}
        known = [*BUILT_IN, "everything", "nothing", "of-others", "light"]
        assert parameters["policy"]["schema"]["enum"] == known
    parameters = {each["name"]: each for each in paths["/compare"]["post"]["parameters"]}
    # Of these weights nothing has a grade, which `transcode` limits.
    known = [*BUILT_IN, "everything", "nothing", "of-others", "close", "light"]
    assert parameters["policy"]["schema"]["enum"] == known
