"""Policies: what a photograph must reach, and the verdict on one that was scored.

A policy is a table of a TOML file, named as the policy is. Each limit is about the score, one dimension or
one adjective of a model, about the exposure of the picture, or about the size. Limits are inclusive: a value
equal to the limit passes.

    [upload]
    description = "Photographs that people upload."
    side = { fail = 200 }          # pixels of the shorter side; `pixels` is of the whole image

    [[upload.limits]]
    dimension = "sharpness"        # or: score = true, or: adjective = "blurry"
    model = "bpclip"               # by default the model whose score is the answer's
    fail = 0.2                     # below it the photograph fails; above it, for a negative adjective
    review = 0.4                   # below it a person should look at the photograph
    message = "The photograph is not sharp enough."

    [[upload.limits]]
    exposure = "mean_luminance"    # of the picture itself (app/schemas/measured/exposure.py), so of no model
    bad = "below"                  # "below": the limits are minima; "above": they are maxima
    fail = 0.05

A policy for copies has limits for POST /compare; other limits that it has are about the copy.

    [transcode]
    grade = { review = "slightly annoying", fail = "annoying" }   # this grade, and all worse ones
    misaligned = "review"

    [[transcode.comparisons]]
    measure = "ssim"               # a measure of the pair (app/schemas/measured/pair_measures.py)
    fail = 0.8
"""

from app.policies.definition import Limit, Policy, PolicyTable, SizeLimit
from app.policies.describing import described, limit_described
from app.policies.judging import (
    MeasuredImage,
    ModelOpinion,
    choose,
    judge,
    judge_measured,
    uncalibrated,
    usable,
    with_verdict,
)
from app.policies.judging_pairs import require_grades, with_pair_verdict
from app.policies.reading import BUILT_IN_POLICIES, is_policy_name, load, parse
from app.policies.writing import to_toml
from app.policies.written import OUTCOMES, PoliciesError, PolicyRefused, VerdictOutcome

__all__ = [
    "BUILT_IN_POLICIES",
    "OUTCOMES",
    "Limit",
    "MeasuredImage",
    "ModelOpinion",
    "PoliciesError",
    "Policy",
    "PolicyRefused",
    "PolicyTable",
    "SizeLimit",
    "VerdictOutcome",
    "choose",
    "described",
    "is_policy_name",
    "judge",
    "judge_measured",
    "limit_described",
    "load",
    "parse",
    "require_grades",
    "to_toml",
    "uncalibrated",
    "usable",
    "with_pair_verdict",
    "with_verdict",
]
