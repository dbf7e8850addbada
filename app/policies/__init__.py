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
    exposure = "mean_luminance"    # a measure of the picture itself (app/schemas/exposure.py), so of no model
    bad = "below"                  # "below": the limits are minima; "above": they are maxima
    fail = 0.05
"""

from app.policies.definition import (
    OUTCOMES,
    Limit,
    PoliciesError,
    Policy,
    PolicyRefused,
    SizeLimit,
    VerdictOutcome,
)
from app.policies.describing import described
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
from app.policies.reading import BUILT_IN_POLICIES, load, parse

__all__ = [
    "BUILT_IN_POLICIES",
    "OUTCOMES",
    "Limit",
    "MeasuredImage",
    "ModelOpinion",
    "PoliciesError",
    "Policy",
    "PolicyRefused",
    "SizeLimit",
    "VerdictOutcome",
    "choose",
    "described",
    "judge",
    "judge_measured",
    "load",
    "parse",
    "uncalibrated",
    "usable",
    "with_verdict",
]
