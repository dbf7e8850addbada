"""Brightness: curves on lightness that do not clip, a shift that does, and a picture taken in low light."""

import torch
from torch import Generator, Tensor

from models.training.distortions.color import from_lab, from_linear, to_lab, to_linear
from models.training.distortions.draws import normal_like


def brighten(image: Tensor, amount: float, generator: Generator) -> Tensor:
    """Lab lightness l in [0, 1] becomes ``1 - (1 - l) ** (1 + 2 amount)``: highlights crowd towards white."""
    lab = to_lab(image)
    shade = (1 - lab[:1] / 100).clamp(0, 1)
    return from_lab(torch.cat([100 * (1 - shade ** (1 + 2 * amount)), lab[1:]]))


def darken(image: Tensor, amount: float, generator: Generator) -> Tensor:
    """Lab lightness l in [0, 1] becomes ``l ** (1 + 2 amount)``, the mirror image of :func:`brighten`."""
    lab = to_lab(image)
    lightness = (lab[:1] / 100).clamp(0, 1)
    return from_lab(torch.cat([100 * lightness ** (1 + 2 * amount), lab[1:]]))


def mean_shift(image: Tensor, shift: float, generator: Generator) -> Tensor:
    """``shift`` added to every sample; what leaves [0, 1] is clipped."""
    return image + shift


def low_light(image: Tensor, exposure: float, generator: Generator) -> Tensor:
    """Linear light times ``exposure``, with the noise of a sensor.

    The noise is Gaussian with a variance linear in the signal, shot and read noise together (Foi et al., TIP
    2008); its two coefficients are ours and fit a small sensor at a high gain.
    """
    light = to_linear(image) * exposure
    return from_linear(light + (1e-3 * light + 2e-5).sqrt() * normal_like(image, generator))


def gain(image: Tensor, factor: float, generator: Generator) -> Tensor:
    """Every sample times ``factor``, as image editors' brightness does: above 1 highlights clip."""
    return image * factor
