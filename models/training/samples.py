"""Regions of photographs, and what full-reference models learn from: pairs of a crop and its reference.

Every sample is a function of its index and the seed, so that a training that was interrupted goes on with
the very samples it would have seen.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.utils.data import Dataset

from models.training.distortions import distort
from models.training.labels import NAMES, pair_labels
from models.training.photos import PhotoReader

_Option = TypeVar("_Option")

ENDLESS = 2**62
_FAULTS_OF_A_PAIR = (0.1, 0.66, 0.15, 0.06, 0.03)  # how often a pair differs by none, one ... four faults
_SCALED = 0.6  # of regions are scaled down
_REGION_MARGIN = 2
"""Faults are made in a region this much larger than the crop: some come by the piece, and a crop should meet
about as many of them as it would in a whole photograph."""


class Pair(NamedTuple):
    """A crop and its reference ``(3, S, S)`` uint8, with the labels ``(20,)`` of the pairs of adjectives."""

    distorted: Tensor
    reference: Tensor
    labels: Tensor


class Pairs(Dataset[Pair]):
    """Endless pairs of a crop and its reference: none to four faults of any type and level.

    Args:
        photos: references.
        crop: side of the crops in pixels.
        seed: of all random draws.
    """

    def __init__(self, photos: Sequence[Path], crop: int, seed: int = 0) -> None:
        self.photos = list(photos)
        self.crop = crop
        self.seed = seed
        self.reader = PhotoReader()

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Pair:
        generator = _generator(self.seed, index)
        photo = self.reader.read(_pick(self.photos, generator))
        room = min(_REGION_MARGIN * self.crop, *photo.shape[-2:])
        region = clean_region(photo, max(self.crop, room), generator)
        count = int(torch.multinomial(torch.tensor(_FAULTS_OF_A_PAIR), 1, generator=generator))
        faults = [(_pick(NAMES, generator), _integer(1, 5, generator)) for _ in range(count)]
        distorted = region
        for name, level in faults:
            distorted = distort(distorted, name, level, generator)
        both = _random_crop(torch.stack([distorted, region]), self.crop, generator)
        both = (both * 255).round().to(torch.uint8)
        return Pair(both[0], both[1], pair_labels(faults))


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


def _generator(seed: int, index: int) -> Generator:
    # A large odd factor keeps the streams of neighbouring seeds apart.
    return Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + index) % 2**63)


def _chance(probability: float, generator: Generator) -> bool:
    return float(torch.rand((), generator=generator)) < probability


def _integer(low: int, high: int, generator: Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def _pick(options: Sequence[_Option], generator: Generator) -> _Option:
    return options[_integer(0, len(options) - 1, generator)]
