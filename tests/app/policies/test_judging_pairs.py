"""Verdicts on comparisons: every limit alone, both outcomes, and limits of single images beside them."""

import pytest

from app.policies import PolicyRefused, choose, load, require_grades, with_pair_verdict
from app.schemas import common
from app.schemas.compare import (
    ContentDisplacement,
    Differences,
    SignalMeasures,
    UntimedCompare,
)
from models.grades import Grade
from tests.app.policies.case import BOTH, answer, policy


def compared(
    score: float = 0.9,
    grade: Grade | None = "imperceptible",
    psnr_db: float | None = 40.0,
    ssim: float = 0.98,
    displacement: ContentDisplacement | None = None,
    mdsi: float | None = None,
) -> UntimedCompare:
    """A comparison of two images of which everything is one half."""
    alone = answer(0.5)
    return UntimedCompare(
        score=score,
        grade=grade,
        model="bpclip",
        dimensions=alone.dimensions,
        models={"bpclip": alone.models["bpclip"]},
        reference=alone,
        distorted=alone,
        differences=Differences(model="bpclip", score=0.0, dimensions=None, adjectives=[]),
        signal=SignalMeasures(psnr_db=psnr_db, ssim=ssim, displacement=displacement, mdsi=mdsi),
        resized_from=None,
        warnings=["resized: as before."],
        batch=common.Batch(images=1),
    )


def outcome(text: str, **measured: object) -> tuple[str, list[str]]:
    """The verdict's outcome, and what its reasons are about."""
    verdict = with_pair_verdict(policy(text), compared(**measured)).verdict  # type: ignore[arg-type]
    assert verdict is not None
    return verdict.outcome, [reason.about for reason in verdict.reasons]


GRADE = 'grade = { review = "slightly annoying", fail = "annoying" }'


@pytest.mark.parametrize(
    ("grade", "expected"),
    [
        ("imperceptible", "pass"),
        ("perceptible but not annoying", "pass"),
        ("slightly annoying", "review"),
        ("annoying", "fail"),
        ("very annoying", "fail"),
    ],
)
def test_a_grade_and_all_worse_ones_do_not_pass(grade: Grade, expected: str) -> None:
    assert outcome(GRADE, grade=grade) == (expected, [] if expected == "pass" else ["grade"])


def test_a_reason_of_a_grade_has_its_number_and_that_of_the_last_that_passes() -> None:
    verdict = with_pair_verdict(policy(GRADE), compared(grade="very annoying")).verdict
    assert verdict is not None
    (reason,) = verdict.reasons
    assert (reason.measure, reason.value, reason.limit) == ("grade", 1, 3)  # slightly annoying still passes
    assert reason.message == "The copy is visibly distorted."


@pytest.mark.parametrize(
    ("measure", "good", "at", "bad"),
    [("score", 0.9, 0.7, 0.69), ("psnr_db", 40, 35, 34.9), ("ssim", 0.99, 0.9, 0.8)],
)
def test_measures_have_inclusive_limits(measure: str, good: float, at: float, bad: float) -> None:
    text = f'comparisons = [{{ measure = "{measure}", fail = {at}, message = "No." }}]'
    assert outcome(text, **{measure: good}) == outcome(text, **{measure: at}) == ("pass", [])
    assert outcome(text, **{measure: bad}) == ("fail", [measure])
    milder = f'comparisons = [{{ measure = "{measure}", fail = 0.1, review = {at} }}]'
    assert outcome(milder, **{measure: bad}) == ("review", [measure])


def test_mdsi_grows_with_the_distortion() -> None:
    text = 'comparisons = [{ measure = "mdsi", fail = 0.4, review = 0.3 }]'
    assert policy(text).published == ("mdsi",)
    assert outcome(text, mdsi=0.3) == ("pass", [])
    assert outcome(text, mdsi=0.35) == ("review", ["mdsi"])
    assert outcome(text, mdsi=0.5) == ("fail", ["mdsi"])


def test_identical_pixels_keep_to_every_limit_of_psnr() -> None:
    assert outcome('comparisons = [{ measure = "psnr_db", fail = 100 }]', psnr_db=None) == ("pass", [])


def test_displaced_content_has_the_outcome_of_the_policy() -> None:
    moved = ContentDisplacement(x=3.0, y=-4.0, scale=1.0)
    assert outcome('misaligned = "review"') == ("pass", [])
    assert outcome('misaligned = "review"', displacement=moved) == ("review", ["displacement"])
    verdict = with_pair_verdict(policy('misaligned = "fail"'), compared(displacement=moved)).verdict
    assert verdict is not None
    assert (verdict.reasons[0].value, verdict.reasons[0].limit) == (5.0, 0.0)


def test_limits_of_single_images_are_about_the_copy_and_failures_come_first() -> None:
    text = f"{GRADE}\nside = {{ fail = 1000 }}"
    assert outcome(text, grade="slightly annoying") == ("fail", ["size", "grade"])


def test_other_weights_of_the_full_reference_model_are_warned_about() -> None:
    text = f'{GRADE}\nweights = {{ bpclip-fr = "others" }}'
    warnings = with_pair_verdict(policy(text), compared()).warnings
    assert warnings[0] == "resized: as before."
    assert warnings[1].startswith("policy-uncalibrated: ")


def test_a_policy_for_comparisons_is_not_chosen_for_a_single_image() -> None:
    policies = load(None)
    with pytest.raises(PolicyRefused, match="compares an image with its reference") as refused:
        choose("transcode", policies, BOTH, BOTH)
    assert "transcode" not in refused.value.known
    assert "upload" in refused.value.known
    assert choose("transcode", policies, BOTH, BOTH, compared=True).built_in
    assert choose("upload", policies, BOTH, BOTH, compared=True).name == "upload"


def test_a_grade_cannot_be_judged_without_steps() -> None:
    with pytest.raises(PolicyRefused, match="no steps for grades"):
        require_grades(policy(GRADE), None)
    require_grades(policy('misaligned = "fail"'), None)
