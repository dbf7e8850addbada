"""The short answer to POST /score with ``detail=summary``: what is acted on, in under a kilobyte."""

from typing import Final, Self

from pydantic import Field

from app.schemas import display
from app.schemas.common import Answer, TimingMs, Unit
from app.schemas.policies import Verdict
from app.schemas.score import (
    Confidence,
    Detail,
    Embedding,
    NamedFault,
    Percentile,
    QualityMap,
    UntimedScore,
)
from models.calibration import Reading

_DECIMALS: Final = 4  # beyond what half precision tells apart


class ModelSummary(Answer):
    """What one model says, in short."""

    score: Unit = Field(description="Higher is better.")
    reading: Reading | None = Field(description="The score in a word.")
    percentile: Percentile | None = Field(
        description="Of a hundred real photographs, how many score lower; null of uncalibrated weights."
    )


class ImageSummary(Answer):
    """The image that was scored; width and height are the upright image's."""

    width: int = Field(ge=1, description="In pixels.")
    height: int = Field(ge=1, description="In pixels.")
    format: str = Field(description="Of the file.")
    sha256: str = Field(description="Of the file, in hexadecimal.")


class UntimedSummary(Answer):
    """The no-reference result of an image, in short."""

    score: Unit = Field(description="Of the model named in `model`, to four decimals. Higher is better.")
    model: str = Field(description="Whose score, reading, summary and faults these are.")
    reading: Reading | None = Field(
        description="The score in a word; not above `fair` where the policy fails."
    )
    percentile: Percentile | None = Field(
        description="Of a hundred real photographs, how many score lower; null of uncalibrated weights."
    )
    summary: str = Field(description="What stands out, one sentence.")
    faults: list[NamedFault] = Field(description="As in the full answer.")
    confidence: Confidence | None = Field(description="How far the score can be relied on.")
    models: dict[str, ModelSummary] = Field(description="By name, each model that was asked.")
    image: ImageSummary
    warnings: list[str] = Field(description="Why the score should be read with care: `code: sentence`.")
    verdict: Verdict | None = Field(default=None, description="Null where no policy was asked for.")
    quality_map: QualityMap | None = Field(default=None, description="Null where it was not asked for.")
    embedding: Embedding | None = Field(default=None, description="Null where it was not asked for.")
    detail: Detail | None = Field(
        default=None, description="Of the image at its native size; null where it was not asked for."
    )

    def __repr__(self) -> str:
        return display.short_line(self)

    def _repr_html_(self) -> str:
        """The card that notebooks show."""
        return display.html_card(self)

    @classmethod
    def of(cls, answer: UntimedScore) -> Self:
        """The summary of a full answer."""
        image = answer.image
        return cls(
            score=round(answer.score, _DECIMALS),
            model=answer.model,
            reading=answer.reading,
            percentile=answer.percentile,
            summary=answer.summary,
            faults=[
                fault.model_copy(update={"confidence": round(fault.confidence, _DECIMALS)})
                for fault in answer.faults
            ],
            confidence=answer.confidence,
            models={
                name: ModelSummary(
                    score=round(model.score, _DECIMALS), reading=model.reading, percentile=model.percentile
                )
                for name, model in answer.models.items()
            },
            image=ImageSummary(
                width=image.width, height=image.height, format=image.format, sha256=image.sha256
            ),
            warnings=answer.warnings,
            verdict=answer.verdict,
            quality_map=answer.quality_map,
            embedding=answer.embedding,
            detail=answer.detail,
        )


class ScoreSummary(UntimedSummary):
    """The answer to POST /score with `detail=summary`."""

    timing_ms: TimingMs
