"""Spatial faults: pixels displaced, copied, coarsened or covered."""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from models.training.distortions.color import shifted
from models.training.distortions.draws import integers, normal_like, uniform

_JITTER_ROUNDS = 5
_PATCH, _MOST_PATCHES, _PATCH_REACH = 16, 100, 32
_BLOCK, _MOST_BLOCKS = 32, 10


def jitter(image: Tensor, amount: float, generator: Generator) -> Tensor:
    """Five rounds in which every pixel is taken from a place a random way off, ``amount`` px rms per axis."""
    height, width = image.shape[-2:]
    columns = torch.arange(width, dtype=image.dtype, device=image.device)
    rows = torch.arange(height, dtype=image.dtype, device=image.device)
    still = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], dim=-1)
    scale = torch.tensor([2 / width, 2 / height], dtype=image.dtype, device=image.device)
    jittered = image[None]
    for _ in range(_JITTER_ROUNDS):
        place = still + amount * normal_like(still, generator)
        grid = (place + 0.5) * scale - 1
        jittered = F.grid_sample(jittered, grid[None], padding_mode="border", align_corners=False)
    return jittered[0]


def patch_copies(image: Tensor, count: float, generator: Generator) -> Tensor:
    """``count`` patches of 16 x 16 px copied from the intact picture to places at most 32 px away per axis.

    Like the blocks of :func:`color_blocks`, the first drawn lies on top: more patches never hide fewer.
    """
    copied = image.clone()
    bottom, right = image.shape[-2] - _PATCH, image.shape[-1] - _PATCH
    tops = integers(generator, 0, bottom, _MOST_PATCHES)
    lefts = integers(generator, 0, right, _MOST_PATCHES)
    downs = integers(generator, -_PATCH_REACH, _PATCH_REACH, _MOST_PATCHES)
    rights = integers(generator, -_PATCH_REACH, _PATCH_REACH, _MOST_PATCHES)
    patches = list(zip(tops, lefts, downs, rights, strict=True))[: int(count)]
    for top, left, down, along in reversed(patches):
        to_top, to_left = min(max(top + down, 0), bottom), min(max(left + along, 0), right)
        source = image[:, top : top + _PATCH, left : left + _PATCH]
        copied[:, to_top : to_top + _PATCH, to_left : to_left + _PATCH] = source
    return copied


def pixelate(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Reduced to ``0.95 - strength ** 0.6`` of its size and enlarged, the nearest pixel taken both times."""
    height, width = image.shape[-2:]
    scale = 0.95 - strength**0.6
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    reduced = F.interpolate(image[None], size=small, mode="nearest-exact")
    return F.interpolate(reduced, size=(height, width), mode="nearest-exact")[0]


def quantization(image: Tensor, levels: float, generator: Generator) -> Tensor:
    """Each channel rounded to ``levels`` evenly spaced values from 0 to 1."""
    return (image * (levels - 1)).round() / (levels - 1)


def color_blocks(image: Tensor, count: float, generator: Generator) -> Tensor:
    """``count`` squares of 32 x 32 px in random plain colors."""
    covered = image.clone()
    tops = integers(generator, 0, image.shape[-2] - _BLOCK, _MOST_BLOCKS)
    lefts = integers(generator, 0, image.shape[-1] - _BLOCK, _MOST_BLOCKS)
    colors = torch.rand(_MOST_BLOCKS, 3, 1, 1, generator=generator, device=generator.device).to(image)
    for top, left, color in reversed(list(zip(tops, lefts, colors, strict=True))[: int(count)]):
        covered[:, top : top + _BLOCK, left : left + _BLOCK] = color
    return covered


def upscaling(image: Tensor, factor: float, generator: Generator) -> Tensor:
    """Reduced by ``factor`` (antialiased) and enlarged again by bicubic interpolation."""
    height, width = image.shape[-2:]
    small = (max(1, round(height / factor)), max(1, round(width / factor)))
    reduced = F.interpolate(image[None], size=small, mode="bilinear", antialias=True)
    return F.interpolate(reduced, size=(height, width), mode="bicubic")[0]


def ghosting(image: Tensor, distance: float, generator: Generator) -> Tensor:
    """A double exposure: the mean of the picture and itself moved ``distance`` px in a random direction."""
    angle = uniform(generator, 0, 2 * math.pi)
    down, right = round(distance * math.sin(angle)), round(distance * math.cos(angle))
    return (image + shifted(image, down, right)) / 2
