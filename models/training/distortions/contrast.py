"""Sharpness and contrast: over-sharpening, straight and curved contrast, haze, and a dark flat picture."""

import torch
from torch import Generator, Tensor

from models.training.distortions.blur import convolve, gaussian_kernel
from models.training.distortions.color import luma
from models.training.distortions.draws import uniform


def over_sharpen(image: Tensor, amount: float, generator: Generator) -> Tensor:
    """Unsharp mask: ``amount`` times what a Gaussian of 1 px takes from the luma, added to all channels."""
    light = luma(image)
    return image + amount * (light - convolve(light, gaussian_kernel(1.0)))


def linear_contrast(image: Tensor, gain: float, generator: Generator) -> Tensor:
    """Distances to mid-gray times ``1 + gain``: a negative gain flattens, a positive one clips."""
    return 0.5 + (1 + gain) * (image - 0.5)


def nonlinear_contrast(image: Tensor, half_range: float, generator: Generator) -> Tensor:
    """A cubic S-curve that takes [0, 1] to ``0.5 ± half_range``: a small half-range washes the picture out.

    The curve's slope is 2.5 times ``half_range`` at mid-gray and ``half_range`` at the ends. At 0.4 mid-tones
    keep their contrast and only shadows and highlights are pulled in; below, every tone nears mid-gray.
    """
    tone = image - 0.5
    return 0.5 + half_range * tone * (2.5 - 2 * tone * tone)


def haze(image: Tensor, density: float, generator: Generator) -> Tensor:
    """Koschmieder's law: light attenuated by ``exp(-density * depth)`` and replaced by a pale gray airlight.

    The depth falls from 1.5 at the top of the picture to 0.5 at its foot, as over open ground.
    """
    airlight = uniform(generator, 0.8, 0.95)
    depth = torch.linspace(1.5, 0.5, image.shape[-2], dtype=image.dtype, device=image.device)[:, None]
    return airlight + (image - airlight) * torch.exp(-density * depth)


def low_contrast_dark(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Contrast about the mean times ``1 - strength`` and the whole times ``1 - 0.7 strength``."""
    mean = image.mean()
    return (mean + (1 - strength) * (image - mean)) * (1 - 0.7 * strength)


def contrast_loss(image: Tensor, factor: float, generator: Generator) -> Tensor:
    """Distances to the mean luma times ``factor``, as image editors' contrast does."""
    mean = luma(image).mean()
    return mean + factor * (image - mean)
