"""Limits from one's own photographs, on photographs whose measures are drawn from known distributions."""

from collections.abc import Sequence

import numpy as np
import pytest

from app.policies import Limit, MeasuredImage, ModelOpinion, PoliciesError, Policy, judge_measured
from app.policies.calibrating import (
    LEAST_GOOD,
    FoundLimits,
    candidates,
    find_limits,
)
from app.schemas.measured.exposure import MeasuredExposure
from models.vocabulary import DIMENSIONS

_TRIED = candidates("bpclip", adjectives=True)


def _photographs(count: int, seed: int, *, shift: float = 0.0) -> list[MeasuredImage]:
    """Measures that hang together as real ones do, with heavy tails; `shift` lowers all, in logits."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        common = chance.normal()
        logits = 1 - shift + 0.6 * common + 0.5 * chance.standard_t(4, len(DIMENSIONS) + 1)
        score, *dimensions = (1 / (1 + np.exp(-logits))).tolist()
        opinion = ModelOpinion(score, dict(zip(DIMENSIONS, dimensions, strict=True)), {})
        exposure = MeasuredExposure(0.4, *chance.uniform(0.5, 1, 1), 0.0, float(chance.beta(0.2, 9)))
        found.append(MeasuredImage(640, 480, "bpclip", {"bpclip": opinion}, exposure))
    return found


def _found(
    good: Sequence[MeasuredImage],
    bad: Sequence[MeasuredImage] = (),
    *,
    fail_at_most: float = 0.02,
    review_at_most: float = 0.1,
    tried: Sequence[Limit] = _TRIED,
) -> FoundLimits:
    return find_limits(good, bad, tried, fail_at_most=fail_at_most, review_at_most=review_at_most)


def _policy(found: FoundLimits) -> Policy:
    return Policy(name="found", built_in=False, limits=tuple(each.limit for each in found.limits))


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_as_many_further_photographs_fail_as_was_promised(share: float) -> None:
    within, rejected = [], []
    for seed in range(24):
        found = _found(_photographs(50, 2 * seed), fail_at_most=share, review_at_most=4 * share)
        policy = _policy(found)
        outcomes = [judge_measured(policy, photo).outcome for photo in _photographs(50, 2 * seed + 1)]
        within.append(found.fail.low <= outcomes.count("fail") <= found.fail.high)
        rejected.append(outcomes.count("fail") / 50)
        assert found.fail.kept
        assert found.fail.expected <= share
    assert np.mean(within) >= 0.9
    assert np.mean(rejected) == pytest.approx(found.fail.expected, abs=0.5 * share)


def test_too_few_photographs_are_said_to_be_too_few() -> None:
    with pytest.raises(PoliciesError, match=r"19 good photographs are too few .* at least 20, and 49 for"):
        _found(_photographs(LEAST_GOOD - 1, 0))
    with pytest.raises(PoliciesError, match="and 999999 for"):  # one by so little has no number
        _found(_photographs(1, 0), fail_at_most=1e-320)
    few, enough = (_found(_photographs(count, 0)).fail for count in (LEAST_GOOD, 49))
    assert (few.kept, few.expected) == (False, pytest.approx(1 / 21))
    assert (enough.kept, enough.expected) == (True, pytest.approx(1 / 50))


def test_limits_lie_on_the_bad_side_of_the_good_photographs() -> None:
    found = _found(_photographs(80, 3))
    assert {each.limit.about for each in found.limits} | set(found.left_out) == {
        limit.about for limit in _TRIED
    }
    assert "overall" not in {limit.about for limit in _TRIED}
    for each in found.limits:
        assert each.limit.review is not None
        assert each.limit.fail is not None
        if each.limit.is_upper:
            assert each.median < each.limit.review < each.limit.fail
        else:
            assert each.median > each.limit.review > each.limit.fail
    assert len(found.good) == 80
    assert found.bad == ()


def test_bad_photographs_are_counted_and_choose_the_measures() -> None:
    good = _photographs(60, 1)
    bad = [
        MeasuredImage(
            640,
            480,
            "bpclip",
            {"bpclip": ModelOpinion(0.7, photo.opinions["bpclip"].dimensions | {"sharpness": 0.001}, {})},
            MeasuredExposure(0.4, 0.8, 0.0, 0.0),
        )
        for photo in _photographs(20, 2)
    ]
    found = _found(good, bad)
    (sharpness,) = (each for each in found.limits if each.limit.about == "sharpness")
    assert sharpness.bad_failed == 20
    assert set(found.bad) == {"fail"}
    assert "clipped_highlights" in found.left_out  # none of the bad ones is too bright
    # The fewer measures can reject a photograph, the closer to the good ones each limit can be.
    (before,) = (each for each in _found(good).limits if each.limit.about == "sharpness")
    assert sharpness.limit.fail >= before.limit.fail  # type: ignore[operator]


def test_bad_photographs_that_are_like_the_good_ones_are_no_help() -> None:
    good = _photographs(60, 1)
    with pytest.raises(PoliciesError, match="differ from the good ones in nothing that is measured"):
        _found(good, [good[int(np.argmax([photo.opinions["bpclip"].score for photo in good]))]] * 10)


def test_the_nearest_photographs_are_the_worst_by_the_measure() -> None:
    good = _photographs(40, 5)
    for each in _found(good).limits:
        if each.limit.about == "score":
            scores = [photo.opinions["bpclip"].score for photo in good]
            assert list(each.nearest) == np.argsort(scores)[: len(each.nearest)].tolist()
            break
    else:
        pytest.fail("there is no limit of the score")


def test_black_and_white_photographs_have_no_limit_of_color() -> None:
    colored = _photographs(30, 7)
    gray = [
        MeasuredImage(640, 480, "bpclip", photo.opinions | {}, photo.exposure, monochrome=True)
        for photo in colored
    ]
    assert "colorfulness" in {each.limit.about for each in _found(colored).limits}
    assert "colorfulness" in _found(gray).left_out


def test_a_model_without_words_has_limits_of_its_score_and_of_exposure() -> None:
    tried = [limit.about for limit in candidates("bpclip", adjectives=False)]
    assert tried == ["score", "p99_luminance", "clipped_highlights"]
