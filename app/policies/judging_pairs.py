"""From a policy and a comparison to the verdict."""

import math
from collections.abc import Iterator

from app.policies.definition import Policy
from app.policies.judging import MeasuredImage, reasons_of, uncalibrated
from app.policies.pair_limits import MISALIGNED, PairLimit
from app.policies.written import PolicyRefused
from app.schemas.compare import UntimedCompare
from app.schemas.policies import Reason, Verdict
from models.grades import GRADES, GradeSteps
from models.registry import FULL_REFERENCE


def require_grades(policy: Policy, steps: GradeSteps | None) -> None:
    """Returns where comparisons by a model with these steps can be judged by a policy.

    Raises:
        PolicyRefused: it limits the grade, and there are no steps.
    """
    if policy.grade is not None and steps is None:
        raise PolicyRefused(
            f"The policy {policy.name} limits the grade, and the full-reference weights have no steps for "
            "grades.",
            known=[],
        )


def with_pair_verdict(policy: Policy, answer: UntimedCompare) -> UntimedCompare:
    """The answer with the verdict of a policy, and with a warning where its limits are of other weights.

    Limits that need no reference are about the distorted image.

    Raises:
        ValueError: the policy limits the grade, and the answer has none; or as of
            :func:`app.policies.judge_measured`.
    """
    reasons = [*_pair_reasons(policy, answer), *reasons_of(policy, MeasuredImage.of(answer.distorted))]
    reasons.sort(key=lambda reason: reason.outcome != "fail")
    verdict = Verdict(policy=policy.name, outcome=reasons[0].outcome if reasons else "pass", reasons=reasons)
    weights = {name: model.weights for name, model in answer.distorted.models.items()}
    weights[FULL_REFERENCE] = answer.models[answer.model].weights
    warnings = [*answer.warnings, *uncalibrated(policy, weights)]
    return answer.model_copy(update={"verdict": verdict, "warnings": warnings})


def _pair_reasons(policy: Policy, answer: UntimedCompare) -> Iterator[Reason]:
    if policy.grade is not None:
        if answer.grade is None:
            raise ValueError("The policy limits the grade, which the answer does not have.")
        place = GRADES.index(answer.grade)
        for outcome in ("fail", "review"):
            limit = getattr(policy.grade, outcome)
            if limit is not None and place >= GRADES.index(limit):
                yield Reason(
                    measure="grade",
                    outcome=outcome,
                    value=len(GRADES) - place,
                    limit=len(GRADES) - GRADES.index(limit) + 1,
                    message=policy.grade.sentence,
                )
                break
    moved = answer.signal.displacement
    if policy.misaligned is not None and moved is not None:
        yield Reason(
            measure="displacement",
            outcome=policy.misaligned,
            value=math.hypot(moved.x, moved.y),
            limit=0.0,
            message=MISALIGNED,
        )
    for each in policy.comparisons:
        yield from _limit_reasons(each, answer)


def _limit_reasons(limit: PairLimit, answer: UntimedCompare) -> Iterator[Reason]:
    value = answer.score if limit.measure == "score" else getattr(answer.signal, limit.measure)
    if value is None:  # PSNR of identical pixels
        return
    for outcome in ("fail", "review"):
        bound = getattr(limit, outcome)
        if bound is not None and (value > bound if limit.is_upper else value < bound):
            yield Reason(
                measure="comparison",
                comparison=limit.measure,
                outcome=outcome,
                value=value,
                limit=bound,
                message=limit.sentence,
            )
            return
