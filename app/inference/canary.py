"""A small image whose score is known: no worker is called ready that scores it otherwise.

It is known twice. The plain modules in float32 score it as well, at every start or, for a model that runs as
a graph, when that was made; so folding, packing, half precision and the device are compared with the models'
own definition, whatever the weights. And for the bundled weights the score is written down, so that an
installation which computes wrongly altogether is found out too.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final, Protocol

from app.inference.tasks import CompareResult, CompareTask, ScoreResult, ScoreTask
from models.canary import canary_pixels, spoilt_pixels
from models.loading import Model
from models.registry import FULL_REFERENCE

_HALF_BOUND: Final = 0.01
"""Most that half precision may differ from float32, by the HTTP contract."""
_FLOAT_BOUND: Final = 1e-3
"""Most that float32 may differ from itself, over libraries and processors; the contract's 1e-4 is for one."""


class CanaryScorer(Protocol):
    """What is asked about the canary: an engine, :class:`app.inference.engine.Engine`."""

    @property
    def expected(self) -> Mapping[str, float]:
        """The canary's score by each loaded model, as its plain modules give it."""

    def dtype_of(self, name: str, /) -> str:
        """The precision that a loaded model runs in."""

    def score(self, tasks: Sequence[ScoreTask], /) -> Sequence[ScoreResult | Exception]:
        """CanaryScorer images without a reference."""

    def compare(self, tasks: Sequence[CompareTask], /) -> Sequence[CompareResult | Exception]:
        """CanaryScorer pairs."""


class CanaryFailed(Exception):
    """The models do not score the canary image as they should; the message is one sentence."""


def expected_score(loaded: Model) -> float:
    """The canary's score by a model's plain modules, float32 on the CPU.

    Of a model that is run as a graph it was noted when the graph was made.

    Raises:
        CanaryFailed: it cannot be computed, or is not the one that is written down for these weights.
    """
    try:
        score = loaded.facts.canary
    except Exception as error:
        raise CanaryFailed(f"{loaded.name} could not score the canary image: {error}") from error
    known = _written_down().get(loaded.sha256, score)
    if not abs(score - known) <= _FLOAT_BOUND:
        raise CanaryFailed(
            f"{loaded.name} gives the canary image {score:.4f}, but for these weights {known:.4f} is known: "
            "this installation computes wrongly."
        )
    return score


def agrees(engine: CanaryScorer, name: str) -> bool:
    """Whether one model of an engine scores the canary as its plain modules do.

    Raises:
        CanaryFailed: it could not score it at all.
    """
    return _as_expected(engine, name, _score(engine, name))


def score_canary(engine: CanaryScorer) -> dict[str, float]:
    """Scores the canary with every loaded model, which also warms them up.

    Returns:
        How far each model's score is off, as a part of what its precision allows: in [0, 1].

    Raises:
        CanaryFailed: a model raised, or gave another score than is known.
    """
    deviations = {}
    for name, expected in engine.expected.items():
        score = _score(engine, name)
        if not _as_expected(engine, name, score):
            raise CanaryFailed(
                f"{name} in {engine.dtype_of(name)} gives the canary image {score:.4f} "
                f"instead of {expected:.4f}."
            )
        deviations[name] = abs(score - expected) / _bound(engine, name)
    return deviations


def _as_expected(engine: CanaryScorer, name: str, score: float) -> bool:
    return abs(score - engine.expected[name]) <= _bound(engine, name)  # false for what is not a number


def _bound(engine: CanaryScorer, name: str) -> float:
    return _FLOAT_BOUND if engine.dtype_of(name) == "float32" else _HALF_BOUND


def _score(engine: CanaryScorer, name: str) -> float:
    if name == FULL_REFERENCE:
        (pair,) = engine.compare([CompareTask(canary_pixels(), spoilt_pixels())])
        if isinstance(pair, Exception):
            raise CanaryFailed(f"{name} could not score the canary image: {pair}") from pair
        return pair.full_reference.score
    (result,) = engine.score([ScoreTask(canary_pixels(), (name,))])
    if isinstance(result, Exception):
        raise CanaryFailed(f"{name} could not score the canary image: {result}") from result
    return result.models[name].score


@cache
def _written_down() -> dict[str, float]:
    """The canary's score by the SHA-256 of weights."""
    known: dict[str, float] = json.loads(files("models").joinpath("weights/canary.json").read_text())
    return known
