"""Color faults, and the conversions between sRGB, linear light and CIE Lab that they need.

Lab is CIE 1976 with the D65 white, from sRGB by IEC 61966-2-1.
"""

import math
from functools import lru_cache

import torch
from torch import Generator, Tensor

from models.training.distortions.blur import convolve, gaussian_kernel
from models.training.distortions.draws import uniform

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as JPEG's
_WHITE = (0.95047, 1.0, 1.08883)  # D65, two-degree observer
_XYZ_OF_RGB = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_KNEE = 6 / 29  # below it CIE Lab replaces the cube root by a straight line


@lru_cache(maxsize=4)
def _matrices(device: torch.device) -> tuple[Tensor, Tensor]:
    white = torch.tensor(_WHITE, dtype=torch.float64)
    forward = torch.tensor(_XYZ_OF_RGB, dtype=torch.float64) / white[:, None]
    return forward.float().to(device), torch.linalg.inv(forward).float().to(device)


def _mix(matrix: Tensor, planes: Tensor) -> Tensor:
    return (matrix @ planes.flatten(1)).view_as(planes)


def luma(image: Tensor) -> Tensor:
    """``(1, H, W)`` luma of an ``(3, H, W)`` RGB image."""
    red, green, blue = _LUMA
    return (red * image[0] + green * image[1] + blue * image[2])[None]


def to_linear(image: Tensor) -> Tensor:
    """Linear light in [0, 1] of sRGB values in [0, 1], same shape."""
    return torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def from_linear(light: Tensor) -> Tensor:
    """sRGB values in [0, 1] of linear light, same shape; light outside [0, 1] is cut off."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def to_lab(image: Tensor) -> Tensor:
    """``(3, H, W)`` Lab, L in [0, 100], of an ``(3, H, W)`` sRGB image in [0, 1]."""
    xyz = _mix(_matrices(image.device)[0], to_linear(image))
    x, y, z = torch.where(xyz > _KNEE**3, xyz ** (1 / 3), xyz / (3 * _KNEE**2) + 4 / 29)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def from_lab(lab: Tensor) -> Tensor:
    """``(3, H, W)`` sRGB in [0, 1] of ``(3, H, W)`` Lab; colors outside the gamut are cut off."""
    y = (lab[0] + 16) / 116
    roots = torch.stack([y + lab[1] / 500, y, y - lab[2] / 200])
    xyz = torch.where(roots > _KNEE, roots * roots * roots, 3 * _KNEE**2 * (roots - 4 / 29))
    return from_linear(_mix(_matrices(lab.device)[1], xyz))


def shifted(planes: Tensor, down: int, right: int) -> Tensor:
    """``(..., H, W)`` moved by whole pixels; the edge is repeated into the gap."""
    height, width = planes.shape[-2:]
    rows = (torch.arange(height, device=planes.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=planes.device) - right).clamp(0, width - 1)
    return planes.index_select(-2, rows).index_select(-1, columns)


def color_diffusion(image: Tensor, amount: float, generator: Generator) -> Tensor:
    """Color bleeds over edges: Lab a and b blurred with a sigma of ``1.5 amount + 2`` px, L kept."""
    lab = to_lab(image)
    return from_lab(torch.cat([lab[:1], convolve(lab[1:], gaussian_kernel(1.5 * amount + 2))]))


def green_shift(image: Tensor, distance: float, generator: Generator) -> Tensor:
    """The green channel moved by ``distance`` px (each coordinate rounded) in a random direction."""
    angle = uniform(generator, 0, 2 * math.pi)
    down, right = round(distance * math.sin(angle)), round(distance * math.cos(angle))
    return torch.stack([image[0], shifted(image[1], down, right), image[2]])


def hsv_saturation(image: Tensor, factor: float, generator: Generator) -> Tensor:
    """HSV saturation times ``factor``, hue and value kept; below zero colors turn into their opposites.

    In HSV a channel lies ``value * saturation * f(hue)`` below the value, so scaling the saturation scales
    the distances to the value and no conversion is needed.
    """
    value = image.amax(dim=0, keepdim=True)
    return torch.lerp(value, image, factor)


def lab_gain(image: Tensor, factor: float, generator: Generator) -> Tensor:
    """Lab a and b times ``factor``: oversaturation beyond 1."""
    lab = to_lab(image)
    return from_lab(torch.cat([lab[:1], lab[1:] * factor]))


def saturation_gain(image: Tensor, factor: float, generator: Generator) -> Tensor:
    """Distances to the luma times ``factor``, as image editors' saturation does; what leaves [0, 1] clips."""
    gray = luma(image)
    return gray + factor * (image - gray)
