"""The warnings of an answer: why a score should be read with care, each a code and a sentence.

The heuristics look at some ten thousand samples at most, so they cost about a millisecond.
"""

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.decode import Picture
from app.imaging.formats.jpeg import MULTI_PICTURE

_SAMPLES: Final = 40_000
_UNIFORM_DEVIATION: Final = 2.0
"""Of 255, in every channel: less is a blank wall or a black frame, with nothing in it to judge."""

# Of 1,131 photographs of BIQ2021 some five in a thousand pass both, nearly all of them black or blank frames;
# plots and screenshots reach 0.94 and more in each, also after JPEG compression at quality 50.
_FLAT_NEIGHBOURS: Final = 0.80
_FEW_COLOURS_SHARE: Final = 0.60
_FEW_COLOURS: Final = 8


def of_picture(picture: Picture) -> list[str]:
    """What the decoded image itself gives reason to warn about."""
    cautions = []
    provenance = picture.provenance
    # The further pictures of a multi-picture JPEG are previews and gain maps, not an animation.
    if provenance.frames > 1 and provenance.format != MULTI_PICTURE:
        cautions.append(f"several-frames: the first of {provenance.frames} frames was scored.")
    if reason := picture.orientation_unknown:
        cautions.append(f"orientation-unknown: {reason}, so the image is taken for upright.")
    if reason := picture.profile_ignored:
        cautions.append(f"color-profile-ignored: the embedded colour profile was not used, as {reason}.")
    if _is_uniform(picture.pixels):
        cautions.append("almost-uniform: there is next to nothing in the image that could be judged.")
    elif _looks_drawn(picture.pixels):
        cautions.append(
            "drawing-or-screenshot: most of the image is exactly flat and of a few colours; "
            "the models were trained on photographs."
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


def _is_uniform(pixels: NDArray[np.uint8]) -> bool:
    step = _step(pixels)
    samples = pixels[::step, ::step].reshape(-1, 3).astype(np.float32)
    return bool(samples.std(axis=0).max() < _UNIFORM_DEVIATION)


def _looks_drawn(pixels: NDArray[np.uint8]) -> bool:
    step = _step(pixels)
    rows = pixels[:: step * step]
    same_as_neighbour = (rows[:, 1:] == rows[:, :-1]).all(axis=2).mean()
    if same_as_neighbour < _FLAT_NEIGHBOURS:
        return False
    samples = pixels[::step, ::step].astype(np.uint32)
    packed = (samples[..., 0] << 16) | (samples[..., 1] << 8) | samples[..., 2]
    counts = np.sort(np.unique(packed, return_counts=True)[1])
    return bool(counts[-_FEW_COLOURS:].sum() / packed.size > _FEW_COLOURS_SHARE)


def _step(pixels: NDArray[np.uint8]) -> int:
    """Every how many rows and columns to look, for no more than the wanted number of samples."""
    return max(1, math.ceil(math.sqrt(pixels.shape[0] * pixels.shape[1] / _SAMPLES)))
