"""What was found on one's own photographs: as a policy, and in sentences."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

from app.policies.calibrating import CONFIDENCE, FoundLimits, Promise
from app.policies.definition import Limit, PolicyTable

_REVIEW_TIMES: Final = 4.0


def usual_review(fail_at_most: float) -> float:
    """The share that may fail or go to review where only that which may fail is given."""
    return min(_REVIEW_TIMES * fail_at_most, (1 + fail_at_most) / 2)


def percent(share: float) -> str:
    """Of a share: "2.0 %"."""
    return f"{100 * share:.1f} %"


def bounds(limit: Limit) -> tuple[str, str]:
    """When a photograph fails by a limit, and when it goes to review: "below 0.21"."""
    side = "above" if limit.is_upper else "below"
    fail, review = ("-" if bound is None else f"{side} {bound:g}" for bound in (limit.fail, limit.review))
    return fail, review


def sentences(found: FoundLimits, *, more: str) -> Iterator[str]:
    """What is to be expected of the policy, and how sure that is.

    Args:
        found: the limits.
        more: how a larger share is allowed, as "allow more with --reject-at-most".
    """
    yield f"Of photographs like the good ones {_promised(found.fail, 'fail')}."
    yield f"{_promised(found.review, 'fail or go to review')}.".capitalize()
    if not found.fail.kept:
        yield (
            f"No promise below {percent(found.fail.expected)} can be made with {len(found.good)} good "
            f"photographs: give more, or {more}."
        )
    for kind, outcomes in (("good", found.good), ("bad", found.bad)):
        if outcomes:
            yield (
                f"Of the {len(outcomes)} {kind} photographs given, {outcomes.count('fail')} fail and "
                f"{outcomes.count('review')} go to review."
            )
    if found.left_out:
        yield f"Without a limit, since none would find anything: {', '.join(found.left_out)}."


def found_table(found: FoundLimits, weights: Mapping[str, str], *, by: str, drawn: bool) -> PolicyTable:
    """The policy that these limits make.

    Args:
        found: the limits.
        weights: by model, the SHA-256 of the weights that they are of.
        by: what found them, as "iqa calibrate".
        drawn: whether some good photographs are none but drawings or screenshots, which then may pass.
    """
    bad = f" and {len(found.bad)} bad" if found.bad else ""
    return PolicyTable(
        description=f"Limits found on {len(found.good)} good photographs.",
        origin=(
            f"Found by {by} on {date.today().isoformat()} on {len(found.good)} good{bad} photographs; "
            f"of photographs like the good ones {percent(found.fail.expected)} are expected to fail."
        ),
        weights=dict(weights),
        not_a_photograph=None if drawn else "review",
        limits=tuple(each.limit for each in found.limits),
    )


def _promised(promise: Promise, verb: str) -> str:
    return (
        f"{percent(promise.expected)} are expected to {verb}: of {promise.photographs} further ones "
        f"{promise.low} to {promise.high}, {100 * CONFIDENCE:g} times in 100"
    )
