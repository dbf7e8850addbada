"""The table of distortions, how a picture gets one, and which faults make which adjective true."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from models.training.distortions import blur, brightness, color, compression, contrast, noise, spatial

Operation = Callable[[Tensor, float, Generator], Tensor]

LEVELS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Distortion:
    """A way to distort a picture at five levels.

    Attributes:
        name: key in :data:`DISTORTIONS` or :data:`EXTRA_FAULTS`.
        group: one of the seven groups of the published set.
        levels: the parameter at levels 1 to 5.
        apply: takes a ``(3, H, W)`` float32 image in [0, 1], a parameter of ``levels`` and a generator;
            returns a new image of the same shape, not yet cut off to [0, 1].
        ordered: whether each level is worse than the one before; rankings leave the others out.
        first_ordered: the first level that changes the picture, 1 or 2; the level below it is the identity.
    """

    name: str
    group: str
    levels: tuple[float, float, float, float, float]
    apply: Operation
    ordered: bool = True
    first_ordered: int = 1


def _by_name(*distortions: Distortion) -> dict[str, Distortion]:
    return {distortion.name: distortion for distortion in distortions}


# Types and levels as QualiCLIP (arXiv 2403.11176) and ARNIQA (arXiv 2310.14918) train on them. The names keep
# their spelling: calibrations draw their random numbers by them.
DISTORTIONS: dict[str, Distortion] = _by_name(
    Distortion("gaussian-blur", "blur", (0.1, 0.5, 1, 2, 5), blur.gaussian_blur, first_ordered=2),
    Distortion("lens-blur", "blur", (1, 2, 4, 6, 8), blur.lens_blur),
    Distortion("motion-blur", "blur", (1, 2, 4, 6, 10), blur.motion_blur, first_ordered=2),
    Distortion("colour-diffusion", "color", (1, 3, 6, 8, 12), color.color_diffusion),
    Distortion("green-shift", "color", (1, 3, 6, 8, 12), color.green_shift),
    Distortion("hsv-saturation", "color", (0.4, 0.2, 0.1, 0, -0.4), color.hsv_saturation),
    Distortion("lab-gain", "color", (1, 2, 3, 6, 9), color.lab_gain, first_ordered=2),
    Distortion("jpeg2000", "compression", (16, 32, 45, 120, 170), compression.jpeg2000),
    Distortion("jpeg", "compression", (43, 36, 24, 7, 4), compression.jpeg),
    Distortion("white-noise", "noise", (0.001, 0.002, 0.003, 0.005, 0.01), noise.white_noise),
    Distortion("ycbcr-noise", "noise", (0.0001, 0.0005, 0.001, 0.002, 0.003), noise.ycbcr_noise),
    Distortion("impulse-noise", "noise", (0.001, 0.005, 0.01, 0.02, 0.03), noise.impulse_noise),
    Distortion("multiplicative-noise", "noise", (0.001, 0.005, 0.01, 0.02, 0.05), noise.multiplicative_noise),
    Distortion("brighten", "brightness", (0.1, 0.2, 0.4, 0.7, 1.1), brightness.brighten),
    Distortion("darken", "brightness", (0.05, 0.1, 0.2, 0.4, 0.8), brightness.darken),
    Distortion("mean-shift", "brightness", (0, 0.08, -0.08, 0.15, -0.15), brightness.mean_shift, False, 2),
    Distortion("jitter", "spatial", (0.05, 0.1, 0.2, 0.5, 1), spatial.jitter),
    Distortion("patch-copies", "spatial", (20, 40, 60, 80, 100), spatial.patch_copies),
    Distortion("pixelate", "spatial", (0.01, 0.05, 0.1, 0.2, 0.5), spatial.pixelate),
    Distortion("quantisation", "spatial", (20, 16, 13, 10, 7), spatial.quantization),
    Distortion("colour-blocks", "spatial", (2, 4, 6, 8, 10), spatial.color_blocks),
    Distortion("over-sharpen", "contrast", (1, 2, 3, 6, 12), contrast.over_sharpen),
    Distortion("linear-contrast", "contrast", (0, 0.15, -0.4, 0.3, -0.6), contrast.linear_contrast, False, 2),
    Distortion("nonlinear-contrast", "contrast", (0.4, 0.3, 0.2, 0.1, 0.05), contrast.nonlinear_contrast),
)

# Faults that the adjectives need, and some as photographs have them; types and levels are our own.
EXTRA_FAULTS: dict[str, Distortion] = _by_name(
    Distortion("upscaling", "blur", (1.5, 2, 3, 4, 6), spatial.upscaling),
    Distortion("denoising", "blur", (0.02, 0.04, 0.07, 0.12, 0.2), noise.denoising),
    Distortion("partial-defocus", "blur", (1, 2, 4, 6, 8), blur.partial_defocus),
    Distortion("low-light", "brightness", (0.5, 0.35, 0.22, 0.14, 0.08), brightness.low_light),
    Distortion("haze", "contrast", (0.2, 0.4, 0.7, 1.1, 1.6), contrast.haze),
    Distortion("low-contrast-dark", "contrast", (0.2, 0.35, 0.5, 0.65, 0.8), contrast.low_contrast_dark),
    Distortion("ghosting", "spatial", (2, 4, 7, 10, 14), spatial.ghosting),
    Distortion("chroma-noise", "noise", (0.02, 0.035, 0.055, 0.08, 0.12), noise.chroma_noise),
    Distortion("denoised-low-light", "brightness", (0.5, 0.35, 0.22, 0.14, 0.08), noise.denoised_low_light),
    Distortion("double-jpeg", "compression", (50, 35, 22, 12, 6), compression.double_jpeg),
    # What people do with a photograph first: export it, or move an editor's slider too far.
    Distortion("export-jpeg", "compression", (85, 65, 40, 20, 8), compression.jpeg),
    Distortion("webp", "compression", (75, 50, 30, 15, 4), compression.webp),
    Distortion("avif", "compression", (60, 45, 32, 20, 8), compression.avif),
    Distortion("gain", "brightness", (1.25, 1.5, 1.9, 2.4, 3.2), brightness.gain),
    Distortion("dimming", "brightness", (0.75, 0.55, 0.4, 0.28, 0.15), brightness.gain),
    Distortion("saturation-gain", "color", (1.5, 2, 2.7, 3.5, 5), color.saturation_gain),
    Distortion("contrast-loss", "contrast", (0.75, 0.6, 0.45, 0.3, 0.18), contrast.contrast_loss),
)

_ALL = DISTORTIONS | EXTRA_FAULTS


@dataclass(frozen=True)
class Cause:
    """A distortion at the levels at which it makes a pair's bad word true."""

    distortion: str
    levels: tuple[int, ...] = (3, 4, 5)


# Saturation's fifth level turns colors into their opposites, which is not a loss of color.
_LOSS_OF_SATURATION = Cause("hsv-saturation", (3, 4))
# Linear contrast lies below zero at these two levels only.
_FLATTENING = Cause("linear-contrast", (3, 5))

# The types whose levels are not severities stay out of "good/bad", but for the strong flattening.
_BAD = (
    *(Cause(distortion.name, (4, 5)) for distortion in _ALL.values() if distortion.ordered),
    Cause("linear-contrast", (5,)),
)

CAUSES: dict[str, tuple[Cause, ...]] = {
    "clear": (Cause("gaussian-blur"), Cause("lens-blur")),
    "sharp": (Cause("gaussian-blur"), Cause("upscaling"), Cause("denoising")),
    "focused": (Cause("lens-blur"), Cause("partial-defocus")),
    "crisp": (Cause("motion-blur"),),
    "bright": (Cause("darken"), Cause("dimming")),
    "well-exposed": (Cause("brighten"), Cause("gain")),
    "well-lit": (Cause("darken"), Cause("low-light"), Cause("dimming")),
    "colorful": (_LOSS_OF_SATURATION,),
    "vivid": (_LOSS_OF_SATURATION, Cause("colour-diffusion")),
    "natural": (Cause("lab-gain"), Cause("saturation-gain")),
    "contrasty": (_FLATTENING, Cause("contrast-loss")),
    "punchy": (Cause("nonlinear-contrast"), Cause("haze")),
    "distinct": (Cause("low-contrast-dark"),),
    "clean": (Cause("white-noise"), Cause("ycbcr-noise")),
    "smooth": (Cause("white-noise"), Cause("multiplicative-noise")),
    "pristine": (Cause("impulse-noise"),),
    "good": _BAD,
    "intact": (Cause("jitter"), Cause("patch-copies"), Cause("green-shift"), Cause("colour-blocks")),
    "artifact-free": (
        *(
            Cause("jpeg"),
            Cause("export-jpeg", (4, 5)),
            Cause("double-jpeg"),
            Cause("webp", (4, 5)),
            Cause("avif", (4, 5)),
        ),
        *(Cause("pixelate"), Cause("quantisation")),
    ),
    "stable": (Cause("motion-blur"), Cause("ghosting")),
}
"""The faults that make the bad word of a pair of :data:`models.vocabulary.PAIRS` true, by the good word."""


@torch.no_grad()
def distort(image: Tensor, name: str, level: int, generator: Generator) -> Tensor:
    """A picture with one distortion.

    Args:
        image: ``(3, H, W)`` float32 sRGB in [0, 1], both sides at least 32 px; left as it is.
        name: key in :data:`DISTORTIONS` or :data:`EXTRA_FAULTS`.
        level: 1 (weakest) to 5.
        generator: source of everything random. Two calls that start from the same state make the same draw,
            also at different levels.

    Returns:
        A new ``(3, H, W)`` float32 image in [0, 1].

    Raises:
        KeyError: there is no distortion of that name.
        ValueError: the level is not among 1 to 5.
    """
    distortion = _ALL[name]
    if level not in LEVELS:
        raise ValueError(f"The level of a distortion is 1 to 5, not {level}.")
    if level < distortion.first_ordered:
        return image.clone()
    return distortion.apply(image, distortion.levels[level - 1], generator).clamp(0, 1)


def distort_levels(image: Tensor, name: str, generator: Generator, levels: Sequence[int] = LEVELS) -> Tensor:
    """One picture at several levels of a distortion, all from the same random draw.

    Angles, noise patterns and displacements are shared and scaled; patches, blocks and impulses of a lower
    level are among those of a higher one. The generator is left as after :func:`distort` at the last level.

    Args:
        image: as for :func:`distort`.
        name: as for :func:`distort`.
        generator: as for :func:`distort`.
        levels: the levels wanted, at least one, each 1 to 5.

    Returns:
        ``(len(levels), 3, H, W)`` float32 in [0, 1].

    Raises:
        KeyError, ValueError: as :func:`distort`.
    """
    start = generator.get_state()
    spoilt = []
    for level in levels:
        generator.set_state(start)
        spoilt.append(distort(image, name, level, generator))
    return torch.stack(spoilt)
