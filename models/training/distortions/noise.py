"""Noise: white in RGB and in YCbCr, impulses, multiplicative, in color only, and what denoising leaves."""

import math

import torch
from torch import Generator, Tensor

from models.training.distortions.blur import convolve, gaussian_kernel
from models.training.distortions.brightness import low_light
from models.training.distortions.draws import normal_like, uniform_like


def white_noise(image: Tensor, variance: float, generator: Generator) -> Tensor:
    """Independent Gaussian noise of ``variance`` on R, G and B."""
    return image + math.sqrt(variance) * normal_like(image, generator)


def ycbcr_noise(image: Tensor, variance: float, generator: Generator) -> Tensor:
    """Independent Gaussian noise of ``variance`` on Y, Cb and Cr (full range, BT.601)."""
    y, blue, red = math.sqrt(variance) * normal_like(image, generator)
    # The conversion is linear: the noise alone goes back to RGB and is added there.
    return image + torch.stack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue])


def impulse_noise(image: Tensor, density: float, generator: Generator) -> Tensor:
    """A share ``density`` of the samples, channel by channel, becomes 0 or 1."""
    draw = uniform_like(image, generator)
    # Half of the hits at either end of the draw: those of a lower density stay those of a higher one.
    salted = torch.where(draw > 1 - density / 2, torch.ones_like(image), image)
    return torch.where(draw < density / 2, torch.zeros_like(image), salted)


def multiplicative_noise(image: Tensor, variance: float, generator: Generator) -> Tensor:
    """Every sample times ``1 + n``, n Gaussian of ``variance``."""
    return image + math.sqrt(variance) * image * normal_like(image, generator)


def chroma_noise(image: Tensor, deviation: float, generator: Generator) -> Tensor:
    """Blotches of color a few pixels wide, ``deviation`` on Cb and Cr: sensor noise after its camera.

    A Gaussian of 1.5 px makes the blotches; the noise is brought back to ``deviation`` after it.
    """
    kernel = gaussian_kernel(1.5)
    blotches = convolve(normal_like(image, generator)[:2], kernel)
    blue, red = blotches * (deviation / float(kernel.square().sum().sqrt()))
    return image + torch.stack([1.402 * red, -0.344136 * blue - 0.714136 * red, 1.772 * blue])


def denoised_low_light(image: Tensor, exposure: float, generator: Generator) -> Tensor:
    """:func:`low_light` as a telephone gives it: its noise smoothed away, and fine texture with it."""
    return denoising(low_light(image, exposure, generator).clamp(0, 1), 0.06, generator)


def denoising(image: Tensor, threshold: float, generator: Generator) -> Tensor:
    """Texture smoothed away, strong edges kept: contrasts up to about ``threshold`` within 9 x 9 px vanish.

    The self-guided filter of He, Sun and Tang (Guided Image Filtering, TPAMI 2013), channel by channel.
    """
    window = torch.full((9, 9), 1 / 81)
    average = convolve(image, window)
    variance = (convolve(image * image, window) - average * average).clamp(min=0)
    kept = variance / (variance + threshold * threshold)
    return convolve(kept, window) * image + convolve((1 - kept) * average, window)
