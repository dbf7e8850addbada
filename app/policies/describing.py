"""A policy as it is shown to clients."""

from collections.abc import Mapping, Sequence

from app.policies.definition import Limit, Policy
from app.policies.judging import HasDigest, uncalibrated
from app.schemas.policies import LeastSize, LoadedPolicy, PolicyLimit


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
        limits=[_limit(limit) for limit in policy.limits],
        warnings=uncalibrated(policy, weights),
    )


def _limit(limit: Limit) -> PolicyLimit:
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
