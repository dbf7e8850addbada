"""A policy as it is shown to clients."""

from collections.abc import Mapping, Sequence

from app.policies.definition import Limit, Policy
from app.policies.judging import HasDigest, uncalibrated
from app.policies.pair_limits import GradeLimit, PairLimit
from app.schemas.policies import LeastGrade, LeastSize, LoadedPolicy, PairPolicyLimit, PolicyLimit


def described(policy: Policy, loaded: Sequence[str], weights: Mapping[str, HasDigest]) -> LoadedPolicy:
    """What GET /policies says of a policy.

    Args:
        policy: to describe.
        loaded: the models that are loaded.
        weights: that they run, as far as that is known.
    """
    sizes = {
        what: LeastSize(fail=limit.fail, review=limit.review, message=message)
        for what, limit, message in policy.sizes
    }
    return LoadedPolicy(
        name=policy.name,
        built_in=policy.built_in,
        description=policy.description,
        origin=policy.origin,
        models=list(policy.needs(loaded)),
        weights=policy.weights,
        side=sizes.get("side"),
        pixels=sizes.get("pixels"),
        not_a_photograph=policy.not_a_photograph,
        needs_reference=policy.needs_reference,
        grade=None if policy.grade is None else _grade(policy.grade),
        misaligned=policy.misaligned,
        comparisons=[_pair_limit(limit) for limit in policy.comparisons],
        strong_fault=policy.strong_fault,
        limits=[limit_described(limit) for limit in policy.limits],
        warnings=uncalibrated(policy, weights),
    )


def _grade(limit: GradeLimit) -> LeastGrade:
    return LeastGrade(fail=limit.fail, review=limit.review, message=limit.sentence)


def _pair_limit(limit: PairLimit) -> PairPolicyLimit:
    return PairPolicyLimit(
        measure=limit.measure,
        bad="above" if limit.is_upper else "below",
        fail=limit.fail,
        review=limit.review,
        message=limit.sentence,
    )


def limit_described(limit: Limit) -> PolicyLimit:
    """What is said of a limit of a score, a dimension, an adjective or the exposure."""
    return PolicyLimit(
        measure=limit.measure,
        model=limit.model,
        dimension=limit.dimension,
        adjective=limit.adjective,
        exposure=limit.exposure,
        bad="above" if limit.is_upper else "below",
        fail=limit.fail,
        review=limit.review,
        message=limit.sentence,
    )
