"""From a policy and what was measured to the verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from app.policies.definition import (
    NOT_A_PHOTOGRAPH,
    Limit,
    Policy,
    SizeLimit,
)
from app.policies.written import PoliciesError, PolicyRefused
from app.schemas.common import values_of
from app.schemas.measured.exposure import MeasuredExposure
from app.schemas.policies import Reason, Verdict
from app.schemas.score import UntimedScore
from app.settings import answering
from models.calibration import BEST_WITH_A_STRONG_FAULT, at_best
from models.faults import EXCLUSIVE, FaultName
from models.registry import spec_of
from models.vocabulary import PAIRS, WORDS

_NEGATIVE: Final[Mapping[str | None, str]] = {pair.positive: pair.negative for pair in PAIRS}


@dataclass(frozen=True)
class ModelOpinion:
    """What one model says of an image; all values are in [0, 1].

    Attributes:
        score: higher is better.
        dimensions: all six; higher is better.
        probabilities: of the 40 adjectives.
    """

    score: float
    dimensions: Mapping[str, float]
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class MeasuredImage:
    """All that a verdict depends on.

    Attributes:
        width: of the upright image, in pixels.
        height: of the upright image, in pixels.
        model: whose score is the answer's.
        opinions: by model.
        exposure: of the picture; None where the answer is of a service that does not measure it.
        monochrome: whether it has shades of one tint only, so that limits of color do not apply.
        photograph: whether it is one; False for screenshots, documents, drawings and renderings.
        faults: strong ones that the model of the answer finds: the message and the strength of each.
        excluded: faults whose opposite that model finds in the whole picture, so that it cannot have them.
    """

    width: int
    height: int
    model: str
    opinions: Mapping[str, ModelOpinion]
    exposure: MeasuredExposure | None = None
    monochrome: bool = False
    photograph: bool = True
    faults: tuple[tuple[str, float], ...] = ()
    excluded: frozenset[FaultName] = frozenset()

    @classmethod
    def of(cls, answer: UntimedScore) -> "MeasuredImage":
        """The measured image of an answer of the service."""
        opinions = {}
        for name, model in answer.models.items():
            probabilities = {each.adjective: each.probability for each in model.adjectives[: len(WORDS)]}
            opinions[name] = ModelOpinion(
                model.score,
                values_of(model.dimensions),
                {word: value for word, value in probabilities.items() if value is not None},
            )
        found = {fault.fault for fault in answer.faults}
        whole = {fault.fault for fault in answer.faults if fault.region == "whole"}
        opposite = dict([*EXCLUSIVE, *(pair[::-1] for pair in EXCLUSIVE)])
        exposure = None if answer.facts is None else MeasuredExposure(**answer.facts.exposure.model_dump())
        image = answer.image
        return cls(
            image.width,
            image.height,
            answer.model,
            opinions,
            exposure,
            image.monochrome,
            image.photograph,
            tuple((each.message, each.confidence) for each in answer.faults if each.severity == "strong"),
            frozenset(opposite[name] for name in whole & opposite.keys()) - found,
        )


class HasDigest(Protocol):
    """The weights that a model runs."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...


def judge(policy: Policy, answer: UntimedScore) -> Verdict:
    """The verdict of a policy on an answer that has all models of the policy.

    Raises:
        ValueError: as of :func:`judge_measured`.
    """
    return judge_measured(policy, MeasuredImage.of(answer))


def judge_measured(policy: Policy, measured: MeasuredImage) -> Verdict:
    """The verdict of a policy on an image: the worst of its reasons, or that it passes.

    Failures come first among the reasons; apart from that they have the policy's order.

    Raises:
        ValueError: the policy limits the exposure, and that was not measured.
    """
    reasons = reasons_of(policy, measured)
    reasons.sort(key=lambda reason: reason.outcome != "fail")
    return Verdict(policy=policy.name, outcome=reasons[0].outcome if reasons else "pass", reasons=reasons)


def reasons_of(policy: Policy, measured: MeasuredImage) -> list[Reason]:
    """Why an image does not pass what a policy asks of single images, in the policy's order.

    Raises:
        ValueError: as of :func:`judge_measured`.
    """
    reasons = [
        *_kind_reasons(policy, measured),
        *_size_reasons(policy, measured),
        *_reasons(policy, measured),
    ]
    if not {policy.strong_fault, "fail"} & {reason.outcome for reason in reasons}:
        # Otherwise there is a reason already, and mostly for the same fault.
        reasons += _fault_reasons(policy, measured)
    return reasons


def with_verdict(policy: Policy, answer: UntimedScore) -> UntimedScore:
    """The answer with the verdict of a policy, and with a warning where its limits are of other weights.

    What fails reads fair at best, and where no fault is named the summary is why it fails.
    """
    weights = {name: model.weights for name, model in answer.models.items()}
    warnings = [*answer.warnings, *uncalibrated(policy, weights)]
    verdict = judge(policy, answer)
    update: dict[str, object] = {"verdict": verdict, "warnings": warnings}
    if verdict.outcome == "fail" and answer.reading is not None:
        update["reading"] = at_best(answer.reading, BEST_WITH_A_STRONG_FAULT)
    if verdict.outcome == "fail" and not answer.faults:
        update["summary"] = verdict.reasons[0].message
    return answer.model_copy(update=update)


def uncalibrated(policy: Policy, weights: Mapping[str, HasDigest]) -> list[str]:
    """Warnings, each a code and a sentence, about models whose weights the limits were not found with."""
    return [
        f"policy-uncalibrated: the limits of the policy {policy.name} were found with other weights of "
        f"{model} than {used.name}, so they may be too strict or too lax."
        for model, wanted in policy.weights.items()
        if (used := weights.get(model)) is not None and wanted not in (used.name, used.sha256)
    ]


def usable(policies: Mapping[str, Policy], models: Sequence[str]) -> dict[str, Policy]:
    """Those of the policies that can be applied where these models are loaded.

    Raises:
        PoliciesError: one of the operator's policies cannot. Built-in ones are left out.
    """
    found = {}
    for name, policy in policies.items():
        missing = _missing(policy, models, models)
        if not missing and not _wordless(policy, models):
            found[name] = policy
        elif not missing and not policy.built_in:
            raise PoliciesError(f"The policy {name} limits words of a model that has none.")
        elif not policy.built_in:
            raise PoliciesError(
                f"The policy {name} needs the model {missing[0]}, which is not among the models to load "
                f"({', '.join(models)})."
            )
    return found


def choose(
    name: str,
    policies: Mapping[str, Policy],
    loaded: Sequence[str],
    asked: Sequence[str],
    *,
    compared: bool = False,
) -> Policy:
    """The policy of that name, for an answer of the models that are asked.

    Args:
        name: of the policy.
        policies: by name.
        loaded: the models that are loaded.
        asked: those that are asked.
        compared: whether the image is compared with a reference.

    Raises:
        PolicyRefused: there is none, it needs a model that is not loaded or not asked, or a reference.
    """
    known = [
        each
        for each, policy in policies.items()
        if not _missing(policy, loaded, loaded) and (compared or not policy.needs_reference)
    ]
    policy = policies.get(name)
    if policy is None:
        there_are = f"there are: {', '.join(known)}" if known else "there are none"
        raise PolicyRefused(f"There is no policy {name[:40]!r}; {there_are}.", known)
    if policy.needs_reference and not compared:
        raise PolicyRefused(
            f"The policy {name} compares an image with its reference, so it is for POST /compare and "
            "iqa compare.",
            known,
        )
    for model in _missing(policy, loaded, loaded):
        raise PolicyRefused(f"The policy {name} needs the model {model}, which is not loaded.", known)
    for model in _missing(policy, loaded, asked):
        raise PolicyRefused(f"The policy {name} needs the model {model} too, which is not asked.", known)
    for model in _wordless(policy, asked):
        raise PolicyRefused(f"The policy {name} limits words of {model}, which has none.", known)
    return policy


def _kind_reasons(policy: Policy, measured: MeasuredImage) -> Iterator[Reason]:
    if policy.not_a_photograph is not None and not measured.photograph:
        yield Reason(
            measure="photograph",
            model=None,
            dimension=None,
            adjective=None,
            exposure=None,
            outcome=policy.not_a_photograph,
            value=0.0,
            limit=1.0,
            message=NOT_A_PHOTOGRAPH,
        )


def _fault_reasons(policy: Policy, measured: MeasuredImage) -> Iterator[Reason]:
    if policy.strong_fault is None:
        return
    for message, strength in measured.faults:
        yield Reason(
            measure="fault",
            model=measured.model,
            dimension=None,
            adjective=None,
            exposure=None,
            outcome=policy.strong_fault,
            value=strength,
            limit=0.0,
            message=f"The photograph has a strong fault: {message}.",
        )


def _size_reasons(policy: Policy, measured: MeasuredImage) -> Iterator[Reason]:
    width, height = measured.width, measured.height
    for what, limit, sentence in policy.sizes:
        value = min(width, height) if what == "side" else width * height
        for outcome, bound in _bounds(limit):
            if value < bound:
                yield Reason(
                    measure="size",
                    model=None,
                    dimension=None,
                    adjective=None,
                    exposure=None,
                    outcome=outcome,
                    value=value,
                    limit=bound,
                    message=sentence,
                )
                break


def _reasons(policy: Policy, measured: MeasuredImage) -> Iterator[Reason]:
    excluded = measured.excluded
    if measured.exposure is not None:
        excluded |= measured.exposure.excluded
    for limit in policy.limits:
        if limit.is_of_color and measured.monochrome:
            continue
        # A model may take darkness for the opposite of what it is; the person who took it is not told so.
        if excluded & {limit.adjective, _NEGATIVE.get(limit.adjective)}:
            continue
        model, value = measured_value(limit, measured)
        for outcome, bound in _bounds(limit):
            if value > bound if limit.is_upper else value < bound:
                yield Reason(
                    measure=limit.measure,
                    model=model,
                    dimension=limit.dimension,
                    adjective=limit.adjective,
                    exposure=limit.exposure,
                    outcome=outcome,
                    value=value,
                    limit=bound,
                    message=limit.sentence,
                )
                break


def measured_value(limit: Limit, measured: MeasuredImage) -> tuple[str | None, float]:
    """The model that is asked, None where none is, and the value to compare with the limit, in [0, 1].

    Raises:
        ValueError: it is one of exposure, which was not measured.
    """
    if limit.exposure is not None:
        if measured.exposure is None:
            raise ValueError(f"The policy limits {limit.exposure}, which was not measured.")
        return None, getattr(measured.exposure, limit.exposure)
    model = measured.model if limit.model is None else limit.model
    opinion = measured.opinions[model]
    if limit.dimension is not None:
        return model, opinion.dimensions[limit.dimension]
    if limit.adjective is not None:
        return model, opinion.probabilities[limit.adjective]
    return model, opinion.score


def _bounds(limit: Limit | SizeLimit) -> Iterator[tuple[Literal["fail", "review"], float]]:
    """The worse one first."""
    if limit.fail is not None:
        yield "fail", limit.fail
    if limit.review is not None:
        yield "review", limit.review


def _wordless(policy: Policy, asked: Sequence[str]) -> list[str]:
    """The models of which it limits words, and which have none."""
    limited = {
        limit.model or answering(asked)
        for limit in policy.limits
        if limit.dimension is not None or limit.adjective is not None
    }
    return sorted(model for model in limited if not spec_of(model).adjectives)


def _missing(policy: Policy, loaded: Sequence[str], asked: Sequence[str]) -> list[str]:
    return [model for model in policy.needs(loaded) if model not in asked]
