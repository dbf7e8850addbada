"""What a policy is, as an operator writes it and as the service keeps it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from app.policies.pair_limits import GradeLimit, PairLimit
from app.policies.written import PolicyText, Side, Written, check_order
from app.schemas.common import DimensionName
from app.schemas.measured.exposure import ExposureMeasure
from app.schemas.measured.pair_measures import PUBLISHED_MEASURES, PublishedName
from app.settings import answering
from models.registry import FULL_REFERENCE, no_reference
from models.vocabulary import ADJECTIVES, WORDS, Dimension

MOST_LIMITS: Final = 100
MOST_PIXELS: Final = 10**10

NOT_A_PHOTOGRAPH: Final = (
    "This is no plain photograph but a screenshot, a document, a drawing, or one with a caption."
)
_OF_COLOR: Final = frozenset(word.word for word in ADJECTIVES if word.dimension == "colorfulness")
_NEGATIVE: Final = frozenset(word.word for word in ADJECTIVES if word.polarity == "negative")
_DEFAULT_MESSAGES: Final[Mapping[Dimension, str]] = {
    "sharpness": "The photograph is not sharp enough.",
    "brightness": "The photograph is too dark or too bright.",
    "colorfulness": "The colors of the photograph are dull or unnatural.",
    "contrast": "The photograph has too little contrast.",
    "cleanness": "The photograph is too noisy.",
    "overall": "The photograph has too many faults.",
}
_EXPOSURE_MESSAGES: Final[Mapping[tuple[ExposureMeasure, Side], str]] = {
    ("mean_luminance", "below"): "The photograph is too dark: use more light or a longer exposure.",
    ("mean_luminance", "above"): "The photograph is too bright: use less light or a shorter exposure.",
    ("p99_luminance", "below"): "The photograph is too dark: nothing in it is bright. Use more light or a "
    "longer exposure.",
    ("p99_luminance", "above"): "The photograph is too bright: use less light or a shorter exposure.",
    ("clipped_shadows", "below"): "The photograph has no deep shadows: raise its contrast.",
    ("clipped_shadows", "above"): "The photograph is too dark: large parts have lost their detail to black.",
    ("clipped_highlights", "below"): "The photograph has no bright highlights: raise its contrast.",
    ("clipped_highlights", "above"): "The photograph is too bright: large parts have lost their detail to "
    "white.",
}


def _model(name: str) -> str:
    if name not in no_reference():
        raise ValueError
    return name


def _weighed(name: str) -> str:
    if name not in (*no_reference(), FULL_REFERENCE):
        raise ValueError
    return name


def _true(value: bool) -> bool:
    if not value:
        raise ValueError
    return value


def _word(word: str) -> str:
    if word not in WORDS:
        raise ValueError
    return word


_Model = Annotated[str, AfterValidator(_model)]
_Weighed = Annotated[str, AfterValidator(_weighed)]
_True = Annotated[bool, AfterValidator(_true)]
_Word = Annotated[str, AfterValidator(_word)]
_Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Pixels = Annotated[int, Field(ge=1, le=MOST_PIXELS)]


class SizeLimit(Written):
    """The least that a size may be, in pixels."""

    fail: _Pixels | None = None
    review: _Pixels | None = None
    message: PolicyText | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        check_order(self.fail, self.review, upper=False)
        return self


class Limit(Written):
    """What a score, a dimension, the probability of an adjective or a measure of exposure may be, in [0, 1].

    A measure of exposure is of the picture and of no model, so its limit names none. It says with `bad`
    whether it is a minimum ("below") or a maximum ("above"); for all others that follows from their subject.
    """

    score: _True | None = None
    dimension: DimensionName | None = None
    adjective: _Word | None = None
    exposure: ExposureMeasure | None = None
    bad: Side | None = None
    model: _Model | None = None
    fail: _Unit | None = None
    review: _Unit | None = None
    message: PolicyText | None = None

    @property
    def measure(self) -> Literal["score", "dimension", "adjective", "exposure"]:
        if self.score is not None:
            return "score"
        if self.exposure is not None:
            return "exposure"
        return "adjective" if self.dimension is None else "dimension"

    @property
    def is_upper(self) -> bool:
        """Whether values above the limit are bad: as written for exposure, and for negative adjectives."""
        return self.bad == "above" or self.adjective in _NEGATIVE

    @property
    def is_of_color(self) -> bool:
        """Whether it is about colors, which a monochrome image has none of."""
        return self.dimension == "colorfulness" or self.adjective in _OF_COLOR

    @property
    def about(self) -> str:
        """What is limited, in a word."""
        return self.dimension or self.adjective or self.exposure or "score"

    @property
    def sentence(self) -> str:
        """What to tell the person whose photograph does not keep to it."""
        if self.message is not None:
            return self.message
        if self.dimension is not None:
            return _DEFAULT_MESSAGES[self.dimension]
        if self.exposure is not None:
            return _EXPOSURE_MESSAGES[self.exposure, "above" if self.is_upper else "below"]
        if self.adjective is None:
            return "The quality of the photograph is too low."
        word = self.adjective
        return f"The photograph is {f'too {word}' if self.is_upper else f'not {word} enough'}."

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if sum(each is not None for each in (self.score, self.dimension, self.adjective, self.exposure)) != 1:
            raise ValueError(
                "has to be about one thing: `score = true`, a `dimension`, an `adjective` or an `exposure`"
            )
        if self.exposure is not None and self.model is not None:
            raise ValueError("is about the picture and not about what a model says, so it takes no `model`")
        if (self.exposure is None) != (self.bad is None):
            raise ValueError(
                'needs `bad`, which says on which side of it values are bad: "below" or "above"'
                if self.bad is None
                else "takes no `bad`, which only limits of an `exposure` have"
            )
        check_order(self.fail, self.review, upper=self.is_upper)
        return self


class PolicyTable(Written):
    """What stands in a policy's table."""

    description: PolicyText | None = None
    origin: PolicyText | None = None
    weights: dict[_Weighed, PolicyText] = Field(default_factory=dict)
    side: SizeLimit | None = None
    pixels: SizeLimit | None = None
    not_a_photograph: Literal["review", "fail"] | None = None
    strong_fault: Literal["review", "fail"] | None = None
    grade: GradeLimit | None = None
    misaligned: Literal["review", "fail"] | None = None
    comparisons: Annotated[tuple[PairLimit, ...], Field(strict=False, max_length=MOST_LIMITS)] = ()
    limits: Annotated[tuple[Limit, ...], Field(strict=False, max_length=MOST_LIMITS)] = ()

    @property
    def needs_reference(self) -> bool:
        """Whether it has limits for a comparison with a reference."""
        return self.grade is not None or self.misaligned is not None or bool(self.comparisons)

    @property
    def published(self) -> tuple[PublishedName, ...]:
        """The measures that it limits and that are computed only where they are asked for."""
        limited = {limit.measure for limit in self.comparisons}
        return tuple(name for name in PUBLISHED_MEASURES if name in limited)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        alone = (self.side, self.pixels, self.not_a_photograph, self.strong_fault)
        if not self.limits and all(each is None for each in alone) and not self.needs_reference:
            raise ValueError(
                "limits nothing: it needs `side`, `pixels`, `not_a_photograph`, `strong_fault`, a table "
                "[[NAME.limits]], or for comparisons `grade`, `misaligned` or a table [[NAME.comparisons]]"
            )
        measures = [limit.measure for limit in self.comparisons]
        if twice := next((each for each in measures if measures.count(each) > 1), None):
            raise ValueError(f"limits {twice} of comparisons twice")
        seen = set()
        for limit in self.limits:
            if (key := (limit.measure, limit.about, limit.model, limit.bad)) in seen:
                raise ValueError(
                    f"limits {limit.about} twice on the same side"
                    if limit.exposure is not None
                    else f"limits {limit.about} of {limit.model or 'no named model'} twice"
                )
            seen.add(key)
        return self


class Policy(PolicyTable):
    """What a photograph must reach.

    Attributes:
        name: by which it is asked for.
        built_in: whether it came with the service.
        description: whose photographs it is for, and why; None where the file has none.
        origin: where the limits come from; None where the file has none.
        weights: by model, the name or the SHA-256 of the weights that the limits were found with.
        side: least pixels of the shorter side.
        pixels: least pixels of the whole image.
        not_a_photograph: outcome of screenshots, documents, drawings and renderings; None for no limit.
        strong_fault: outcome of photographs with a strong fault by the answer's model; None for no limit.
        grade: from which a copy does not pass beside its reference; None for no limit.
        misaligned: outcome of a copy whose content lies elsewhere than in its reference; None for no limit.
        comparisons: limits of the measures of a copy beside its reference.
        limits: of what the models say, and of the picture's exposure.
    """

    name: str
    built_in: bool

    def needs(self, loaded: Sequence[str]) -> tuple[str, ...]:
        """The models without which it cannot be applied, of these that are loaded or of others.

        Limits that name none are about the same model always, whichever are asked: what is right for one is
        not for another. Limits of exposure need no model.
        """
        by_models = (limit for limit in self.limits if limit.exposure is None)
        return tuple(dict.fromkeys(limit.model or answering(loaded) for limit in by_models))

    @property
    def sizes(self) -> Iterator[tuple[Literal["side", "pixels"], SizeLimit, str]]:
        """Its limits of size, with what to tell the person whose photograph does not keep to them."""
        if self.side is not None:
            yield "side", self.side, self.side.message or "The photograph's shorter side has too few pixels."
        if self.pixels is not None:
            yield "pixels", self.pixels, self.pixels.message or "The photograph has too few pixels."
