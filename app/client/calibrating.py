"""From answers about photographs to the question for limits, POST /calibrate."""

from collections.abc import Iterable

from app.client.requests import Call
from app.schemas.calibrate import CalibrateAsking, MeasuredLight, MeasuredPhotograph
from app.schemas.score import UntimedScore
from models.vocabulary import DIMENSIONS


def calibrate_request(asking: CalibrateAsking, params: dict[str, str]) -> Call:
    """The question for limits."""
    body = asking.model_dump_json(exclude_none=True).encode()
    return Call("POST", "v1/calibrate", params, content=body, media_type="application/json")


def calibrate_asking(
    good: Iterable[UntimedScore],
    bad: Iterable[UntimedScore],
    model: str | None,
    *,
    reject_at_most: float,
    name: str,
) -> CalibrateAsking:
    """What is asked about these answers.

    Raises:
        ValueError: an answer has no such model, or no exposure; or there are too many.
    """
    return CalibrateAsking(
        good=tuple(_measured(each, model) for each in good),
        bad=tuple(_measured(each, model) for each in bad),
        reject_at_most=reject_at_most,
        name=name,
    )


def _measured(answer: UntimedScore, model: str | None) -> MeasuredPhotograph:
    wanted = answer.model if model is None else model
    opinion = answer.models.get(wanted)
    if opinion is None or answer.facts is None:
        raise ValueError(f"An answer has no scores of {wanted}, or no exposure: score the image again.")
    dimensions, exposure = opinion.dimensions, answer.facts.exposure
    return MeasuredPhotograph(
        score=opinion.score,
        dimensions=None if dimensions is None else {name: getattr(dimensions, name) for name in DIMENSIONS},
        exposure=MeasuredLight(
            p99_luminance=exposure.p99_luminance, clipped_highlights=exposure.clipped_highlights
        ),
        monochrome=answer.image.monochrome,
        photograph=answer.image.photograph,
    )
