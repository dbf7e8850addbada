"""Regions of photographs, functions of a generator's seed."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

ENDLESS = 2**62
_SCALED = 0.6  # of regions are scaled down


def to_float(images: Tensor) -> Tensor:
    """uint8 pixels as float32 in [0, 1]."""
    return images.float() / 255


def whole(image: Tensor, side: int) -> Tensor:
    """The middle ``(3, side, side)`` of ``(3, H, W)`` uint8, which is enlarged where it is smaller."""
    image = _enlarged(image, side)
    top, left = (image.shape[-2] - side) // 2, (image.shape[-1] - side) // 2
    return image[:, top : top + side, left : left + side]


def clean_region(photo: Tensor, side: int, generator: Generator) -> Tensor:
    """A square of ``(3, H, W)`` uint8, at a random scale, mirrored or not: ``(3, side, side)`` float32.

    Values are in [0, 1]. Scaling down keeps a photograph clean, and shows its contents at more sizes than it
    was taken at.
    """
    image = _enlarged(photo, side)
    scaled = _chance(_SCALED, generator)
    taken = _integer(side, min(image.shape[-2:]), generator) if scaled else side
    region = to_float(_random_crop(image, taken, generator))
    if taken != side:
        region = F.interpolate(region[None], size=(side, side), mode="bicubic", antialias=True)[0].clamp(0, 1)
    return region.flip(-1) if _chance(0.5, generator) else region


def _enlarged(image: Tensor, side: int) -> Tensor:
    """The image itself, or brought up to ``side`` where its short side has less."""
    short = min(image.shape[-2:])
    if short >= side:
        return image
    size = tuple(max(side, round(length * side / short)) for length in image.shape[-2:])
    return (
        F.interpolate(image[None].float(), size=size, mode="bicubic").clamp(0, 255).round()[0].to(torch.uint8)
    )


def _random_crop(images: Tensor, side: int, generator: Generator) -> Tensor:
    top = _integer(0, images.shape[-2] - side, generator)
    left = _integer(0, images.shape[-1] - side, generator)
    return images[..., top : top + side, left : left + side]


def _chance(probability: float, generator: Generator) -> bool:
    return float(torch.rand((), generator=generator)) < probability


def _integer(low: int, high: int, generator: Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))
