"""Policies, what they judge and answers that carry it, for tests."""

from app.policies import MeasuredImage, ModelOpinion, Policy, parse
from app.schemas import common
from app.schemas import score as score_schemas
from app.schemas.measured.exposure import MeasuredExposure
from models.vocabulary import ADJECTIVES, DIMENSIONS, WORDS

BOTH = ("qualiclip", "bpclip")


def opinion(value: float = 0.5) -> ModelOpinion:
    return ModelOpinion(value, dict.fromkeys(DIMENSIONS, value), dict.fromkeys(WORDS, value))


def measured(value: float = 0.5, width: int = 640, height: int = 480) -> MeasuredImage:
    """A photograph of which everything, by both models and of its exposure, is the same number."""
    opinions = {"qualiclip": opinion(value), "bpclip": opinion(value)}
    return MeasuredImage(width, height, "bpclip", opinions, MeasuredExposure(value, value, value, value))


def policy(text: str) -> Policy:
    """The policy ``mine`` with these lines in its table."""
    return parse(f"[mine]\n{text}", "The text")["mine"]


def answer(
    value: float = 0.5, models: tuple[str, ...] = ("qualiclip", "bpclip")
) -> score_schemas.UntimedScore:
    """An answer of the service with the same number everywhere."""
    model = score_schemas.ModelAnswer(
        score=value,
        dimensions=common.Dimensions(**dict.fromkeys(DIMENSIONS, value)),
        adjectives=[
            score_schemas.AdjectiveResult(
                adjective=each.word,
                dimension=each.dimension,
                polarity=each.polarity,
                similarity=0.2,
                probability=value,
            )
            for each in ADJECTIVES
        ]
        + [
            score_schemas.AdjectiveResult(
                adjective="moody", dimension=None, polarity=None, similarity=0.1, probability=None
            )
        ],
        prompt_pairs=[],
        scored=common.ImageSize(width=320, height=240),
        weights=common.WeightsUsed(name="small", sha256="a" * 64, license=""),
    )
    return score_schemas.UntimedScore(
        score=value,
        model="bpclip" if "bpclip" in models else models[0],
        dimensions=model.dimensions,
        models=dict.fromkeys(models, model),
        image=score_schemas.DecodedImage(
            width=640,
            height=480,
            format="JPEG",
            bytes=1000,
            sha256="b" * 64,
            frames=1,
            orientation_applied=False,
            color_converted=False,
        ),
        facts=score_schemas.Facts(
            exposure=score_schemas.Exposure(**vars(MeasuredExposure(value, value, value, value)))
        ),
        warnings=["scaled-down: a warning of before."],
        batch=common.Batch(images=1),
    )
