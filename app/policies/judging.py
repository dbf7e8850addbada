"""From a policy and what was measured to the verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from app.policies.definition import Limit, PoliciesError, Policy, PolicyRefused, SizeLimit
from app.schemas.common import values_of
from app.schemas.exposure import MeasuredExposure
from app.schemas.policies import Reason, Verdict
from app.schemas.score import UntimedScore
from app.settings import answering
from models.registry import spec_of
from models.vocabulary import WORDS


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
    """

    width: int
    height: int
    model: str
    opinions: Mapping[str, ModelOpinion]
    exposure: MeasuredExposure | None = None

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
        exposure = None if answer.facts is None else MeasuredExposure(**answer.facts.exposure.model_dump())
        return cls(answer.image.width, answer.image.height, answer.model, opinions, exposure)


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
    reasons = [*_size_reasons(policy, measured), *_reasons(policy, measured)]
    reasons.sort(key=lambda reason: reason.outcome != "fail")
    return Verdict(policy=policy.name, outcome=reasons[0].outcome if reasons else "pass", reasons=reasons)


def with_verdict(policy: Policy, answer: UntimedScore) -> UntimedScore:
    """The answer with the verdict of a policy, and with a warning where its limits are of other weights."""
    weights = {name: model.weights for name, model in answer.models.items()}
    warnings = [*answer.warnings, *uncalibrated(policy, weights)]
    return answer.model_copy(update={"verdict": judge(policy, answer), "warnings": warnings})


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


def choose(name: str, policies: Mapping[str, Policy], loaded: Sequence[str], asked: Sequence[str]) -> Policy:
    """The policy of that name, for an answer of the models that are asked.

    Raises:
        PolicyRefused: there is none, or it needs a model that is not loaded or not asked.
    """
    known = [each for each, policy in policies.items() if not _missing(policy, loaded, loaded)]
    policy = policies.get(name)
    if policy is None:
        there_are = f"there are: {', '.join(known)}" if known else "there are none"
        raise PolicyRefused(f"There is no policy {name[:40]!r}; {there_are}.", known)
    for model in _missing(policy, loaded, loaded):
        raise PolicyRefused(f"The policy {name} needs the model {model}, which is not loaded.", known)
    for model in _missing(policy, loaded, asked):
        raise PolicyRefused(f"The policy {name} needs the model {model} too, which is not asked.", known)
    for model in _wordless(policy, asked):
        raise PolicyRefused(f"The policy {name} limits words of {model}, which has none.", known)
    return policy


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
    for limit in policy.limits:
        model, value = _value(limit, measured)
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


def _value(limit: Limit, measured: MeasuredImage) -> tuple[str | None, float]:
    """The model that is asked, None where none is, and the value to compare with the limit, in [0, 1]."""
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
