"""The short answer to POST /compare with ``detail=summary``: what is acted on, in about a kilobyte."""

from typing import Self

from pydantic import Field

from app.schemas.common import Answer, ImageSize, TimingMs, Unit
from app.schemas.compare import DifferenceMap, SignalMeasures, UntimedCompare
from app.schemas.policies import Verdict
from app.schemas.score import Embedding, Percentile, UntimedScore
from models.calibration import Reading
from models.grades import Grade

_DECIMALS = 4  # beyond what half precision tells apart


class SideSummary(Answer):
    """The no-reference result of one of the two images, in short."""

    score: Unit = Field(description="Higher is better.")
    model: str = Field(description="Whose score, reading and summary these are.")
    reading: Reading | None = Field(description="The score in a word.")
    percentile: Percentile | None = Field(
        description="Of a hundred real photographs, how many score lower; null of uncalibrated weights."
    )
    summary: str = Field(description="What stands out, one sentence.")
    width: int = Field(ge=1, description="Of the upright image, in pixels.")
    height: int = Field(ge=1, description="Of the upright image, in pixels.")
    sha256: str = Field(description="Of the file, in hexadecimal.")
    embedding: Embedding | None = Field(default=None, description="Null where it was not asked for.")

    @classmethod
    def of(cls, answer: UntimedScore) -> Self:
        """The summary of the full answer of one image."""
        image = answer.image
        return cls(
            score=round(answer.score, _DECIMALS),
            model=answer.model,
            reading=answer.reading,
            percentile=answer.percentile,
            summary=answer.summary,
            width=image.width,
            height=image.height,
            sha256=image.sha256,
            embedding=answer.embedding,
        )


class UntimedCompareSummary(Answer):
    """The result of a comparison, in short."""

    score: Unit = Field(description="Full-reference BPCLIP, to four decimals: 1 is indistinguishable.")
    grade: Grade | None = Field(
        description="How visible the distortion is; null where the weights have no steps for it."
    )
    signal: SignalMeasures
    difference_map: DifferenceMap | None = Field(default=None, description="Null where it was not asked for.")
    reference: SideSummary
    distorted: SideSummary
    resized_from: ImageSize | None = Field(
        description="The distorted image's own size, where `resize=reference` changed it before comparing."
    )
    warnings: list[str] = Field(description="Why the comparison should be read with care: `code: sentence`.")
    verdict: Verdict | None = Field(default=None, description="Null where no policy was asked for.")

    @classmethod
    def of(cls, answer: UntimedCompare) -> Self:
        """The summary of a full answer."""
        return cls(
            score=round(answer.score, _DECIMALS),
            grade=answer.grade,
            signal=answer.signal,
            difference_map=answer.difference_map,
            reference=SideSummary.of(answer.reference),
            distorted=SideSummary.of(answer.distorted),
            resized_from=answer.resized_from,
            warnings=answer.warnings,
            verdict=answer.verdict,
        )


class CompareSummary(UntimedCompareSummary):
    """The answer to POST /compare with `detail=summary`."""

    timing_ms: TimingMs
