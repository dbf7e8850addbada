"""What the recipes learn from: photographs spoilt at several levels, scored crops, pairs with a reference.

Every sample is a function of its index and the seed, so that a training that was interrupted goes on with
the very samples it would have seen.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.utils.data import Dataset

from models.training.distortions import distort, distort_levels
from models.training.labels import NAMES, fault_types, pair_labels, pair_severities, severities
from models.training.photos import PhotoReader, ScoredPhoto

_Option = TypeVar("_Option")
_Photo = TypeVar("_Photo")
_Sample = TypeVar("_Sample", covariant=True)

ENDLESS = 2**62
_REGION_MARGIN = 2
"""Faults are made in a region this much larger than the crop: some come by the piece, and a crop should meet
about as many of them as it would in a whole photograph."""


class Group(NamedTuple):
    """One photograph at ``L`` levels of one distortion, in ``V`` crops that overlap.

    ``images``: ``(V, L, 3, S, S)`` uint8. ``severity``: ``(L,)`` and ``pair_severity``: ``(20, L)`` as in
    :mod:`models.training.labels`; ``labels``: ``(L, 20)``; ``fault``: ``(L,)`` int64, which type it is, as
    :func:`models.training.labels.fault_types` counts them. Collated, each has a leading batch dimension.
    """

    images: Tensor
    severity: Tensor
    pair_severity: Tensor
    labels: Tensor
    fault: Tensor


class Scored(NamedTuple):
    """A crop ``(3, S, S)`` uint8 and the photograph's MOS in [0, 1]."""

    image: Tensor
    mos: Tensor


class Pair(NamedTuple):
    """A crop and its reference ``(3, S, S)`` uint8, with the labels ``(20,)`` of the pairs of adjectives."""

    distorted: Tensor
    reference: Tensor
    labels: Tensor


class _Endless(Dataset[_Sample], Generic[_Photo, _Sample]):
    """Samples without end; ``photos`` are what they are made from."""

    def __init__(self, photos: Sequence[_Photo], crop: int, seed: int) -> None:
        self.photos = list(photos)
        self.crop = crop
        self.seed = seed
        self.reader = PhotoReader()

    def __len__(self) -> int:
        return ENDLESS


class Groups(_Endless[Path, Group]):
    """Endless groups of levels from photographs that are good to begin with.

    Args:
        photos: the photographs.
        crop: side of the crops in pixels.
        views: how many overlapping crops of each.
        levels: how many levels of each, drawn from untouched and 1 to 5.
        compound: probability that another, mild fault lies under the one that is varied.
        seed: of all random draws.
    """

    def __init__(
        self,
        photos: Sequence[Path],
        crop: int,
        views: int,
        levels: int = 2,
        compound: float = 0.3,
        seed: int = 0,
    ) -> None:
        super().__init__(photos, crop, seed)
        self.views = views
        self.levels = levels
        self.compound = compound

    def __getitem__(self, index: int) -> Group:
        generator = _generator(self.seed, index)
        region = _clean_region(self.reader.read(_pick(self.photos, generator)), self.crop, generator)
        underneath = []
        if _chance(self.compound, generator):
            mild = (_pick(NAMES, generator), _integer(1, 2, generator))
            region = distort(region, *mild, generator)
            underneath = [mild]
        name = _pick(NAMES, generator)
        levels = sorted(torch.randperm(6, generator=generator)[: self.levels].tolist())
        spoilt = [region] if levels[0] == 0 else []
        spoilt += list(distort_levels(region, name, generator, [level for level in levels if level > 0]))
        stack = torch.stack(spoilt)
        views = torch.stack([_random_crop(stack, self.crop, generator) for _ in range(self.views)])
        labels = torch.stack(
            [pair_labels([*underneath, (name, level)] if level else underneath) for level in levels]
        )
        return Group(
            _to_bytes(views),
            severities(name, levels),
            pair_severities(name, levels),
            labels,
            fault_types(name, levels, alone=not underneath),
        )


class ScoredCrops(_Endless[ScoredPhoto, Scored]):
    """Endless random crops of photographs that people scored, mirrored every other time."""

    def __init__(self, photos: Sequence[ScoredPhoto], crop: int, seed: int = 0) -> None:
        super().__init__(photos, crop, seed)

    def __getitem__(self, index: int) -> Scored:
        generator = _generator(self.seed, index)
        # An epoch sees every photograph once, in an order of its own.
        epoch, place = divmod(index, len(self.photos))
        order = torch.randperm(len(self.photos), generator=_generator(self.seed + 1, epoch))
        photo = self.photos[int(order[place])]
        image = _enlarged(self.reader.read(photo.path), self.crop)
        image = _random_mirror(_random_crop(image, self.crop, generator), generator)
        return Scored(image.contiguous(), torch.tensor(photo.mos, dtype=torch.float32))


class Pairs(_Endless[Path, Pair]):
    """Endless pairs of a crop and its reference: none to two faults of any type and level.

    Args:
        photos: references.
        crop: side of the crops in pixels.
        seed: of all random draws.
    """

    def __init__(self, photos: Sequence[Path], crop: int, seed: int = 0) -> None:
        super().__init__(photos, crop, seed)

    def __getitem__(self, index: int) -> Pair:
        generator = _generator(self.seed, index)
        region = _clean_region(self.reader.read(_pick(self.photos, generator)), self.crop, generator)
        draw = float(torch.rand((), generator=generator))
        count = 0 if draw < 0.06 else 1 if draw < 0.85 else 2
        faults = [(_pick(NAMES, generator), _integer(1, 5, generator)) for _ in range(count)]
        spoilt = region
        for name, level in faults:
            spoilt = distort(spoilt, name, level, generator)
        both = _to_bytes(_random_crop(torch.stack([spoilt, region]), self.crop, generator))
        return Pair(both[0], both[1], pair_labels(faults))


def to_float(images: Tensor) -> Tensor:
    """uint8 pixels as float32 in [0, 1]."""
    return images.float() / 255


def _to_bytes(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)


def _clean_region(photo: Tensor, crop: int, generator: Generator) -> Tensor:
    """A mirrored or plain region for crops, float32 in [0, 1], at a random scale.

    Scaling down keeps a photograph clean, and shows its contents at more sizes than it was taken at.
    """
    image = _enlarged(photo, crop)
    shortest = min(image.shape[-2:])
    side = min(_REGION_MARGIN * crop, shortest)
    taken = _random_crop(
        image, _integer(side, shortest, generator) if _chance(0.5, generator) else side, generator
    )
    region = to_float(taken)
    if region.shape[-1] != side:
        region = F.interpolate(region[None], size=(side, side), mode="bilinear", antialias=True)[0]
    return _random_mirror(region, generator)


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


def _random_mirror(images: Tensor, generator: Generator) -> Tensor:
    return images.flip(-1) if _chance(0.5, generator) else images


def _generator(seed: int, index: int) -> Generator:
    # A large odd factor keeps the streams of neighbouring seeds apart.
    return Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + index) % 2**63)


def _chance(probability: float, generator: Generator) -> bool:
    return float(torch.rand((), generator=generator)) < probability


def _integer(low: int, high: int, generator: Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def _pick(options: Sequence[_Option], generator: Generator) -> _Option:
    return options[_integer(0, len(options) - 1, generator)]
