"""The release gate: bounds on how models score variants of good photographs.

:data:`VARIANTS` is the only place where a bound is written.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from models.preprocessing import Pixels
from models.training.robustness.examination import Judge, Opinions, seed_of
from models.training.robustness.harmless import mirrored

Change = Callable[[Pixels, int], Pixels]
"""A photograph ``(H, W, 3)`` uint8 and the seed of what is random -> the variant, of the same shape."""

Bound = Literal["share", "difference"]
"""What is bounded: the share of photographs whose variant scores as good as the untouched photograph or
better, or the mean absolute difference between the two scores. Both are in [0, 1]."""


@dataclass(frozen=True)
class Variant:
    """A change of a photograph, and the bound on how models score the result.

    Attributes:
        name: of the variant.
        change: makes it.
        bound: what is bounded.
        most: the largest value that keeps the bound, in [0, 1].
    """

    name: str
    change: Change
    bound: Bound
    most: float

    @property
    def limit(self) -> str:
        """The bound in words, as "at most 5 %" of the photographs or "moves by at most 0.02"."""
        if self.bound == "share":
            return f"at most {100 * self.most:g} %"
        return f"moves by at most {self.most:g}"


@dataclass(frozen=True)
class Tried:
    """What all models said of one photograph.

    Attributes:
        untouched: its opinions.
        variants: by the variant's name. A variant with the same pixels as the photograph is left out, as
            stronger colors of a black-and-white photograph: no model can tell the two apart.
    """

    untouched: Opinions
    variants: Mapping[str, Opinions]


@dataclass(frozen=True)
class GateOutcome:
    """What one model made of one variant, over all photographs that the variant changes.

    Attributes:
        photographs: how many these are.
        as_good: of how many the variant scores as good as the untouched photograph or better.
        share: the same as a share of them; None where there are none.
        difference: mean absolute difference of the scores; None where the bound is on the share.
        bound: what is bounded.
        most: the largest value that keeps the bound.
        kept: whether it is kept; None where there are no photographs to say so.
    """

    photographs: int
    as_good: int
    share: float | None
    difference: float | None
    bound: Bound
    most: float
    kept: bool | None


def variants_of(photo: Pixels, name: str) -> dict[str, Pixels]:
    """All variants of a photograph that differ from it, by the variant's name.

    Args:
        photo: ``(H, W, 3)`` uint8.
        name: of the photograph; it alone determines what is random about a variant.
    """
    made = {variant.name: variant.change(photo, seed_of(name, variant.name)) for variant in VARIANTS}
    return {variant: pixels for variant, pixels in made.items() if not np.array_equal(pixels, photo)}


def images_of_variants() -> int:
    """How many images are judged for one photograph, at most: itself and its variants."""
    return 1 + len(VARIANTS)


def try_variants(photo: Pixels, name: str, judge: Judge) -> Tried:
    """What models say of one photograph and of its variants.

    Args:
        photo: ``(H, W, 3)`` uint8, without faults, of the size that it is scored at.
        name: of the photograph, for :func:`variants_of`.
        judge: asks the models.

    Raises:
        Exception: what `judge` raises.
    """
    variants = variants_of(photo, name)
    untouched, *opinions = judge([photo, *variants.values()], None)
    return Tried(untouched, dict(zip(variants, opinions, strict=True)))


def outcomes(tried: Sequence[Tried], model: str) -> dict[str, GateOutcome]:
    """What one model made of every variant, by the variant's name."""
    return {variant.name: _outcome(tried, model, variant) for variant in VARIANTS}


def broken(found: Mapping[str, Mapping[str, GateOutcome]]) -> list[str]:
    """A sentence for each bound that is broken, of outcomes by model and variant."""
    return [
        _complaint(model, variant, each[variant.name])
        for model, each in found.items()
        for variant in VARIANTS
        if each[variant.name].kept is False
    ]


def _outcome(tried: Sequence[Tried], model: str, variant: Variant) -> GateOutcome:
    changed = [each for each in tried if variant.name in each.variants]
    untouched = np.array([each.untouched[model].score for each in changed])
    scores = np.array([each.variants[variant.name][model].score for each in changed])
    # Asked this way round, a score that is no number counts as a fault of the model.
    as_good = int((~(scores < untouched)).sum())
    if not changed:
        return GateOutcome(0, 0, None, None, variant.bound, variant.most, None)
    share = as_good / len(changed)
    difference = float(np.abs(scores - untouched).mean()) if variant.bound == "difference" else None
    kept = (share if difference is None else difference) <= variant.most
    return GateOutcome(len(changed), as_good, share, difference, variant.bound, variant.most, kept)


def _complaint(model: str, variant: Variant, outcome: GateOutcome) -> str:
    if outcome.difference is not None:
        return (
            f"{model}: {variant.name} moves the score by {outcome.difference:.4f} on average; the bound is "
            f"{variant.most:g}."
        )
    return (
        f"{model}: {variant.name} scores as good as the untouched photograph or better on "
        f"{outcome.as_good} of {outcome.photographs} photographs; the bound is {100 * variant.most:g} %."
    )


def _by_pillow(change: Callable[[Image.Image], Image.Image]) -> Change:
    """A change of pixels from one of Pillow images, in which nothing is random."""
    return lambda photo, _: np.array(change(Image.fromarray(photo)))


def _saved(kind: str, quality: int) -> Change:
    """Through a file of that kind, with Pillow's defaults for all but the quality; JPEG is 4:2:0 then."""

    def change(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, kind, quality=quality)
        with Image.open(file) as saved:
            return saved.convert("RGB")

    return _by_pillow(change)


def _blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(2))


def _right_half_blurred(image: Image.Image) -> Image.Image:
    half = (image.width // 2, 0, image.width, image.height)
    changed = image.copy()
    # The blur is of the whole, so that there is no seam at the blurred half.
    changed.paste(image.filter(ImageFilter.GaussianBlur(6)).crop(half), half)
    return changed


def _up_scaled(image: Image.Image) -> Image.Image:
    quarter = max(1, round(image.width / 4)), max(1, round(image.height / 4))
    return image.resize(quarter, Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)


def _noisy(photo: Pixels, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, 15, photo.shape)
    return (photo + noise).round().clip(0, 255).astype(np.uint8)


VARIANTS: Final[tuple[Variant, ...]] = (
    Variant("jpeg 50", _saved("JPEG", 50), "share", 0.0),
    Variant("jpeg 30", _saved("JPEG", 30), "share", 0.0),
    Variant("jpeg 10", _saved("JPEG", 10), "share", 0.0),
    Variant("jpeg 5", _saved("JPEG", 5), "share", 0.0),
    Variant("webp 30", _saved("WEBP", 30), "share", 0.0),
    Variant("right half blurred", _by_pillow(_right_half_blurred), "share", 0.0),
    Variant("blurred", _by_pillow(_blurred), "share", 0.0),
    Variant("white noise", _noisy, "share", 0.0),
    Variant("x4 up-scaled", _by_pillow(_up_scaled), "share", 0.0),
    Variant("brightness x 0.3", _by_pillow(lambda i: ImageEnhance.Brightness(i).enhance(0.3)), "share", 0.0),
    Variant("jpeg 85", _saved("JPEG", 85), "share", 0.05),
    Variant("brightness x 2", _by_pillow(lambda i: ImageEnhance.Brightness(i).enhance(2)), "share", 0.05),
    Variant("saturation x 3", _by_pillow(lambda i: ImageEnhance.Color(i).enhance(3)), "share", 0.05),
    Variant("contrast x 0.4", _by_pillow(lambda i: ImageEnhance.Contrast(i).enhance(0.4)), "share", 0.05),
    Variant("jpeg 95", _saved("JPEG", 95), "difference", 0.02),
    Variant("mirrored", lambda photo, _: mirrored(photo), "difference", 0.02),
)
"""All variants with their bounds, which are the same for every no-reference model."""
