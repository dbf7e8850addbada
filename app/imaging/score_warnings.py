"""The warnings of an answer: why a score should be read with care, each a code and a sentence."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from app.imaging.decode import Picture
from app.imaging.formats.jpeg import MULTI_PICTURE
from models.color.upright import ColorRead

if TYPE_CHECKING:  # it brings scipy
    from models.fidelity import Signal

CLEAR_GAIN: Final = 0.05
"""Of a no-reference score: changes that look the same move it by .01 on average (see the release gate)."""


def of_picture(picture: Picture) -> list[str]:
    """What the decoded image itself gives reason to warn about."""
    cautions = list(picture.notes)
    provenance = picture.provenance
    # The further pictures of a multi-picture JPEG are previews and gain maps, not an animation.
    if provenance.frames > 1 and provenance.format != MULTI_PICTURE:
        cautions.append(f"several-frames: the first of {provenance.frames} frames was scored.")
    if reason := picture.orientation_unknown:
        cautions.append(f"orientation-unknown: {reason}, so the image is taken for upright.")
    cautions += _of_color(picture.color)
    if bits := picture.guessed_bits:
        cautions.append(
            f"sample-range-guessed: the 16-bit samples use {bits} bits, "
            f"so {(1 << bits) - 1} is taken for white."
        )
    if picture.uniform:
        cautions.append("almost-uniform: there is next to nothing in the image that could be judged.")
    elif not provenance.photograph:
        cautions.append(
            "drawing-or-screenshot: the image looks like a screenshot, a document or a drawing, or has a "
            "caption; the models were trained on photographs."
        )
    return cautions


def of_size(
    model: str, image: tuple[int, int], scored: tuple[int, int], validated_sides: tuple[int, int]
) -> Iterable[str]:
    """What the sizes, ``(width, height)`` in pixels, give reason to warn about for one model."""
    if scored != image:
        yield f"scaled-down: {model} saw {scored[0]} x {scored[1]} of {image[0]} x {image[1]} pixels."
    shortest, longest = validated_sides
    if min(scored) < shortest or max(scored) > longest:
        yield (
            f"outside-validated-sizes: the weights of {model} were validated on sides of {shortest} to "
            f"{longest} pixels, not on {scored[0]} x {scored[1]}."
        )


def of_pair(size: tuple[int, int], resized_from: tuple[int, int] | None, signal: "Signal") -> Iterable[str]:
    """What a comparison gives reason to warn about.

    Args:
        size: of the reference, ``(width, height)`` in pixels.
        resized_from: the distorted image's own size, where it was brought to the reference's.
        signal: measured on the pair.
    """
    if resized_from is not None:
        yield (
            f"resized: the distorted image was brought from {resized_from[0]} x {resized_from[1]} to "
            f"{size[0]} x {size[1]} pixels for the comparison."
        )
    if (found := signal.displacement) is not None:
        across, down = ("right" if found.x > 0 else "left"), ("down" if found.y > 0 else "up")
        scaled = "" if found.scale == 1 else f", and scaled to {found.scale:.1%}"
        yield (
            f"misaligned: the content of the distorted image lies {abs(found.x):.1f} pixels to the {across} "
            f"and {abs(found.y):.1f} pixels {down} of where it is in the reference{scaled}; the score counts "
            "that as a distortion."
        )


def of_gain(model: str, gain: float) -> Iterable[str]:
    """What it means that a model scores the distorted image above its reference, by `gain`."""
    if gain >= CLEAR_GAIN:
        yield (
            f"may-look-better: {model} scores the distorted image {gain:.2f} above its reference, so it may "
            "be an improvement rather than a loss."
        )


def _of_color(color: ColorRead) -> Iterable[str]:
    if color.ignored:
        yield f"color-profile-ignored: the embedded color description was not used, as {color.ignored}."
    if color.guessed:
        yield f"color-space-guessed: the color space is uncertain, as {color.guessed}."
    if color.dynamic_range != "sdr":
        name, share = color.dynamic_range.upper(), color.clipped
        yield (
            f"high-dynamic-range: the {name} image was converted to sRGB; {share:.1%} of its pixels are "
            "brighter than the reference white and were scored as white."
        )
