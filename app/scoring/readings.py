"""The answer in words: how good, what is wrong, how sure. Computed here once, shown alike everywhere."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from app.inference.tasks import ModelCard, ModelResult
from app.schemas import score
from app.schemas.measured.exposure import MeasuredExposure
from app.schemas.measured.regions import FaultRegions
from models.calibration import NO_EVIDENCE, PixelEvidence, describe
from models.faults import EXCLUSIVE, FAULTS, FaultName, Region
from models.vocabulary import DIMENSIONS, WORDS

DISAGREEMENT: Final = 40.0
"""Percentiles apart, from which two models are said to disagree."""

_OF_COLOR: Final = frozenset(fault.name for fault in FAULTS if fault.dimension == "colorfulness")

_BY_NAME: Final = {fault.name: fault for fault in FAULTS}
_POSSIBLE: Final[Mapping[FaultName, float]] = {
    "blur": 0.5,
    "noise": 0.2,
    "underexposed": 0.4,
    "compression": 0.8,
}
"""The faults that can have a place, and from which strength one is named that has."""
_BY_ALL: Final = frozenset[FaultName]({"blur", "compression"})
"""Those that all models must find so strong, not one of them: softness of a part is intended more often, and
what is built of rows has steps where blocks would have them."""
_MUCH_NOISE: Final = 0.5
"""Strength from which sharpness may be that of noise."""
_BLOCKY: Final = 0.9
"""Strength of compression, by all models, that is believed where the pixels show blocks."""
_CERTAIN: Final = 0.97
"""Strength of compression, by all models, that is believed where the pixels show no blocks.

That happens where a picture was compressed before it was scaled or cropped, and with other codecs than JPEG.
"""
_RUINED: Final = 0.6
"""Strength of another fault, by all models, from which they take what that fault left for blocks."""
_DOUBT: Final = 0.5
"""Strength from which a fault is likelier than not to one model; no other praises the opposite then."""
_OF_A_BACKGROUND: Final[frozenset[FaultName]] = frozenset({"overexposed", "dull"})
"""What models find in a white background."""
_CLIPPED_SUBJECT: Final = 0.05
_OPPOSITE_SEEN: Final[Mapping[FaultName, str]] = {"dull": "vivid", "low-contrast": "contrasty"}
"""Faults that pictures do not have of which the other measure is true."""
_LOW_QUALITY: Final = 60
"""JPEG's quality up to which its blocks are there, whether they show all over or not."""

_UNCERTAIN: Final[Mapping[str, str]] = {
    "outside-validated-sizes": "the weights were not validated on images of this size.",
    "wholeness-unknown": "the decoder cannot tell whether this kind of file is whole.",
    "almost-uniform": "there is next to nothing in the image that could be judged.",
    "drawing-or-screenshot": "the models were trained on photographs.",
}
"""Warnings that make a score uncertain, by code."""


def in_pixels(
    regions: FaultRegions,
    exposure: MeasuredExposure,
    results: Collection[ModelResult],
    jpeg_quality: int | None = None,
) -> PixelEvidence:
    """What the pixels of an image show of its faults, and what its file says of them.

    Args:
        regions: where they lie.
        exposure: which rules some out.
        results: of all models. A fault with a place is evident where one of them thinks it at least possible.
        jpeg_quality: of the file; None of other formats.
    """
    found: dict[FaultName, Region] = {name: getattr(regions, name) for name in _POSSIBLE}
    words = [
        dict(zip(WORDS, result.probabilities, strict=True)) for result in results if result.probabilities
    ]

    def likely(name: FaultName, least: float) -> bool:
        return any(_BY_NAME[name].strength(each) >= least for each in words)

    def certain(name: FaultName, least: float) -> bool:
        return bool(words) and all(_BY_NAME[name].strength(each) >= least for each in words)

    # Exposure is that of the whole picture: one half can be dark though the mean is high.
    ruled_out = frozenset(name for name in exposure.excluded if found.get(name, "whole") == "whole")
    if regions.cut_out and exposure.clipped_highlights < _CLIPPED_SUBJECT:
        ruled_out |= _OF_A_BACKGROUND
    ruled_out |= {name for name, plain in _OPPOSITE_SEEN.items() if getattr(regions, plain)}
    if regions.vivid and any(map(_more_dull, words)):
        ruled_out |= {"oversaturated"}  # what looks like both is neither
    seen = [name for name, region in found.items() if region not in ("whole", "background")]
    seen += ["noise"] if regions.grainy and "noise" not in seen else []
    evident = [name for name in seen if (certain if name in _BY_ALL else likely)(name, _POSSIBLE[name])]
    if "blur" not in evident:
        found["blur"] = "whole"
    ruined = any(certain(fault.name, _RUINED) for fault in FAULTS if fault.name != "compression")
    blocks = (
        (regions.blocks and certain("compression", _BLOCKY) and not (regions.grainy and "noise" in evident))
        or (certain("compression", _CERTAIN) and not ruined)
        or (jpeg_quality or 100) <= _LOW_QUALITY
    )
    unseen: set[FaultName] = set()
    # The edges of noise and of blocks are sharp, too, so where there is much of them nothing need be.
    rough = regions.blocks or certain("compression", _CERTAIN) or regions.grainy
    coarse = blocks or rough or likely("noise", _MUCH_NOISE)
    if regions.sharp_subject and found["blur"] == "whole" and not coarse:
        unseen.add("blur")  # it is intended
    if not blocks and "compression" not in evident:
        unseen.add("compression")  # what looks like it is blur, noise or darkness
    doubted = [name for name in _POSSIBLE if likely(name, _DOUBT)]
    return PixelEvidence(found, evident, ruled_out | unseen, doubted)


def _more_dull(words: Mapping[str, float]) -> bool:
    return _BY_NAME["dull"].strength(words) > _BY_NAME["oversaturated"].strength(words)


def in_words(
    result: ModelResult, card: ModelCard, *, monochrome: bool = False, seen: PixelEvidence = NO_EVIDENCE
) -> dict[str, Any]:
    """The fields of :class:`app.schemas.score.ModelAnswer` that put a model's result into words.

    Args:
        result: of the model.
        card: of the model.
        monochrome: whether the image has no color, which then is no fault.
        seen: of faults, in the pixels.
    """
    words = len(result.probabilities)
    calibration = card.calibration
    if monochrome and calibration is not None:
        faults_known = {name: each for name, each in calibration.faults.items() if name not in _OF_COLOR}
        calibration = calibration.model_copy(update={"faults": faults_known})
    found = describe(
        result.score,
        dict(zip(WORDS[:words], result.probabilities, strict=True)),
        dict(zip(DIMENSIONS[: len(result.dimensions)], result.dimensions, strict=True)),
        calibration,
        seen,
    )
    faults = [
        score.NamedFault(
            fault=fault.name,
            severity="strong" if fault.strong else "slight",
            confidence=fault.strength,
            region=fault.region,
            message=fault.message,
        )
        for fault in found.faults
    ]
    percentile = None if found.percentile is None else round(found.percentile, 1)
    return {
        "reading": found.reading,
        "percentile": percentile,
        "summary": found.summary,
        "faults": faults,
    }


def confidence(models: Mapping[str, score.ModelAnswer], warnings: Sequence[str]) -> score.Confidence:
    """How far a score can be relied on, by what the models say and by the warnings about the image."""
    reasons = [*_disagreement(models), *_uncertain(warnings)]
    return score.Confidence(level="low" if reasons else "high", reasons=reasons)


def _disagreement(models: Mapping[str, score.ModelAnswer]) -> Iterator[str]:
    known = {name: model.percentile for name, model in models.items() if model.percentile is not None}
    low, high = min(known, key=known.__getitem__, default=""), max(known, key=known.__getitem__, default="")
    if known and known[high] - known[low] >= DISAGREEMENT:
        yield (
            f"models-disagree: {high} places the image above {known[high]:.0f} of 100 real photographs, "
            f"{low} above {known[low]:.0f}."
        )
    yield from _opposites(models)


def _opposites(models: Mapping[str, score.ModelAnswer]) -> Iterator[str]:
    """Where a model finds a strong fault, and another one the opposite in the same place."""
    strong = {
        (fault.fault, fault.region): name
        for name, model in models.items()
        for fault in model.faults
        if fault.severity == "strong"
    }
    for first, second in EXCLUSIVE:
        for region in dict.fromkeys(region for name, region in strong if name == first):
            if other := strong.get((second, region)):
                yield (
                    f"models-disagree: {strong[first, region]} finds the image {first}, {other} finds it "
                    f"{second}."
                )


def _uncertain(warnings: Sequence[str]) -> Iterator[str]:
    codes = dict.fromkeys(warning.partition(":")[0] for warning in warnings)
    return (f"{code}: {_UNCERTAIN[code]}" for code in codes if code in _UNCERTAIN)
