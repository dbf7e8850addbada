"""The metrics of one process; those of several are asked for in test_supervisor.py."""

import re
import time
from dataclasses import replace

import pytest

from app.errors import PROBLEMS
from app.inference.protocol import State
from app.inference.tasks import CompareResult, ModelCard, ModelResult, ScoreResult, scores_of
from app.metrics import Metrics
from app.version import version
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing

_HELP = re.compile(r"# HELP (\S+) (.*)")


def _card(sha256: str) -> ModelCard:
    preprocessing = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=384)
    return ModelCard(
        "bpclip", "bpclip-tiny", sha256, "", "", "", {}, (64, 384), False, (), 100.0, preprocessing, 1
    )


def _state(sha256: str = "a") -> State:
    return State(
        boot="",
        warm=True,
        device="cpu",
        dtype="float32",
        max_scored_pixels=1,
        cards=(_card(sha256),),
        queued_pixels=0,
        pixels_per_s=0.0,
        restarts=3,
        canary={"bpclip": 0.25},
        canary_at=time.monotonic() - 40,
    )


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics._registry.get_sample_value(name, labels)


def _result(score: float) -> ModelResult:
    return ModelResult(score, (), (), (), (), None, 1, 1)


def test_every_metric_is_ours_and_says_what_it_is() -> None:
    text = Metrics().render().decode()
    found = dict(_HELP.findall(text))
    assert len(found) > 30
    assert [name for name in found if not name.startswith("iqa_")] == []
    assert [name for name, words in found.items() if len(words) < 15 or not words.endswith(".")] == []


def test_what_is_watched_is_there_before_it_happens() -> None:
    """The first of a kind is not to be missed by a rate."""
    metrics = Metrics()
    counts = {429: "iqa_rejected_total", 503: "iqa_rejected_total", 504: "iqa_rejected_total"}
    counts[500] = "iqa_faults_total"
    watched = [each for each in PROBLEMS.values() if each.status in counts]
    assert {"overloaded", "deadline-exceeded", "poison-input"} <= {each.slug for each in watched}
    for each in watched:
        assert _value(metrics, counts[each.status], slug=each.slug) == 0
        metrics.observe_problem(each.status, each.slug)
        assert _value(metrics, counts[each.status], slug=each.slug) == 1


@pytest.mark.parametrize(("status", "slug"), [(200, None), (499, None), (404, "not-found"), (501, "x")])
def test_what_is_nobodys_trouble_is_not_counted_as_such(status: int, slug: str | None) -> None:
    metrics = Metrics()
    before = _counts(metrics)
    metrics.observe_problem(status, slug)
    assert _counts(metrics) == before


def _counts(metrics: Metrics) -> list[str]:
    """All counters; gauges of time differ from one call to the next."""
    return [line for line in metrics.render().decode().splitlines() if "_total" in line]


def test_scores_fall_into_twenty_equal_parts() -> None:
    metrics = Metrics()
    bounds = re.compile(r'iqa_score_bucket\{le="([^"]+)",model="bpclip"\} ([\d.]+)')
    for score in (0.0, 0.05, 0.51, 1.0):
        metrics.score.labels("bpclip").observe(score)
    found = {bound: float(count) for bound, count in bounds.findall(metrics.render().decode())}
    assert list(found) == [str(round(part / 20, 2)) for part in range(1, 21)] + ["+Inf"]
    assert (found["0.05"], found["0.5"], found["0.55"], found["1.0"], found["+Inf"]) == (2, 2, 3, 4, 4)


def test_every_score_of_an_answer_is_counted_once() -> None:
    alone = ScoreResult({"qualiclip": _result(0.1), "bpclip": _result(0.2)})
    pair = CompareResult(_result(0.9))
    assert list(scores_of([pair, alone])) == [("bpclip-fr", 0.9), ("qualiclip", 0.1), ("bpclip", 0.2)]


def test_a_worker_says_what_it_is_and_how_its_canary_does() -> None:
    metrics = Metrics()
    metrics.observe_worker(0, _state())
    assert _value(metrics, "iqa_build_info", version=version()) == 1
    assert _value(metrics, "iqa_worker_info", worker="0", device="cpu", dtype="float32") == 1
    assert _value(metrics, "iqa_canary_deviation_ratio", worker="0", model="bpclip") == 0.25
    told = _value(metrics, "iqa_canary_timestamp_seconds", worker="0")
    assert told == pytest.approx(time.time() - 40, abs=30)
    assert _value(metrics, "iqa_score_count", model="bpclip") == 0
    assert _value(metrics, "iqa_worker_restarts", worker="0") == 3


def test_a_worker_that_starts_says_no_more_than_it_knows() -> None:
    metrics = Metrics()
    metrics.observe_worker(0, replace(_state(), warm=False, cards=(), canary={}, device=""))
    assert _value(metrics, "iqa_worker_restarts", worker="0") == 3
    assert "iqa_worker_info{" not in metrics.render().decode()
    assert "iqa_canary_timestamp_seconds{" not in metrics.render().decode()


def test_weights_that_were_replaced_do_not_count_any_more() -> None:
    metrics = Metrics()
    of_worker = {"worker": "0", "model": "bpclip", "weights": "bpclip-tiny"}
    for sha256, first, second in (("a", 1, None), ("b", 0, 1), ("a", 1, 0)):
        metrics.observe_worker(0, _state(sha256))
        assert _value(metrics, "iqa_weights_info", **of_worker, sha256="a") == first
        assert _value(metrics, "iqa_weights_info", **of_worker, sha256="b") == second
