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

from models.training.captions import captioned
from models.training.distortions import compression, distort, distort_levels
from models.training.first_opinion import Scale
from models.training.labels import (
    BAD,
    NAMES,
    UNKNOWN,
    fault_types,
    pair_labels,
    pair_severities,
    severities,
)
from models.training.photos import PhotoReader, RatedPhoto

_Option = TypeVar("_Option")
_Photo = TypeVar("_Photo")
_Sample = TypeVar("_Sample", covariant=True)

ENDLESS = 2**62
_BENEATH = (0.6, 0.25, 0.1, 0.05)
"""How often none, one, two or three other faults lie under the one that is varied."""
_FAULTS_OF_A_PAIR = (0.1, 0.66, 0.15, 0.06, 0.03)  # how often a pair differs by none, one ... four faults
_HARD_TO_RANK = {
    *("colour-diffusion", "green-shift", "hsv-saturation"),  # no edge is softer, no plane noisier
    *("brighten", "darken"),  # photographs differ more in it than levels do
    *("jitter", "patch-copies", "colour-blocks", "ghosting"),  # in a few places, or like a texture
}
_HOW_OFTEN = torch.tensor([3.0 if name in _HARD_TO_RANK else 1.0 for name in NAMES])
"""How often each type is the one that is varied."""
_ADJACENT = 0.5  # of groups of two show neighbouring levels, which are the hardest to rank
_OF_A_CAMERA = (0.25, 0.4, 0.25, 0.1)  # how often none, one, two or three camera faults
_CAMERA_FAULTS = (
    *("gaussian-blur", "lens-blur", "motion-blur", "partial-defocus", "upscaling", "denoising"),
    *("white-noise", "chroma-noise", "low-light", "denoised-low-light", "darken", "brighten"),
    *("haze", "low-contrast-dark", "nonlinear-contrast", "jpeg", "double-jpeg"),
)
_CAPTIONED = 0.25  # of snapshots, whose worth is that of the picture without
_CAPTIONED_GROUPS = 0.1
_HARMLESS = 0.3  # of rated crops come from a copy that looks the same
_SCALED = 0.6  # of regions are scaled down
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


class Rated(NamedTuple):
    """A crop ``(3, S, S)`` uint8 and what the whole photograph is worth, in [0, 1]: its MOS, or a rank."""

    image: Tensor
    worth: Tensor


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
    """Endless groups of levels of one distortion, with up to three others beneath it.

    Args:
        pristine: photographs that are good to begin with.
        crop: side of the crops in pixels.
        views: how many overlapping crops of each.
        levels: how many levels of each, drawn from untouched and 1 to 5.
        real: photographs that may have faults of their own. Spoilt further they can be ranked and show the
            fault, but nothing is known of them untouched.
        real_share: how many groups are made from those.
        beneath: shares of groups with none, one, two ... other faults under the one that is varied.
        seed: of all random draws.
    """

    def __init__(
        self,
        pristine: Sequence[Path],
        crop: int,
        views: int,
        levels: int = 2,
        real: Sequence[Path] = (),
        real_share: float = 0.4,
        beneath: Sequence[float] = _BENEATH,
        seed: int = 0,
    ) -> None:
        super().__init__(pristine, crop, seed)
        self.real = list(real)
        self.real_share = real_share if self.real else 0.0
        self.views = views
        self.levels = levels
        self.beneath = torch.tensor(beneath)

    def __getitem__(self, index: int) -> Group:
        generator = _generator(self.seed, index)
        is_real = _chance(self.real_share, generator)
        path = _pick(self.real if is_real else self.photos, generator)
        region = _region(self.reader.read(path), self.crop, generator)
        beneath = []
        for _ in range(int(torch.multinomial(self.beneath, 1, generator=generator))):
            beneath.append((_pick(NAMES, generator), _integer(1, 3, generator)))
            region = distort(region, *beneath[-1], generator)
        name = NAMES[int(torch.multinomial(_HOW_OFTEN, 1, generator=generator))]
        levels = _draw_levels(self.levels, generator)
        spoilt = [region] if levels[0] == 0 else []
        spoilt += list(distort_levels(region, name, generator, [level for level in levels if level > 0]))
        stack = torch.stack(spoilt)
        views = torch.stack([_random_crop(stack, self.crop, generator) for _ in range(self.views)])
        if _chance(_CAPTIONED_GROUPS, generator):
            views = captioned(views, generator)
        labels = torch.stack(
            [pair_labels([*beneath, (name, level)] if level else beneath) for level in levels]
        )
        if is_real:  # its own faults may make any bad word true
            labels = labels.where(labels == BAD, UNKNOWN)
        return Group(
            _to_bytes(views),
            severities(name, levels),
            pair_severities(name, levels),
            labels,
            fault_types(name, levels, alone=not beneath and not is_real),
        )


def _draw_levels(count: int, generator: Generator) -> list[int]:
    if count == 2 and _chance(_ADJACENT, generator):
        mildest = _integer(0, 4, generator)
        return [mildest, mildest + 1]
    return sorted(torch.randperm(6, generator=generator)[:count].tolist())


class RatedCrops(_Endless[RatedPhoto, Rated]):
    """Endless random crops of whole photographs with a number each, mirrored every other time.

    Some come from a copy that looks the same, at 3/4 to full size or once more through a mild JPEG: what the
    photograph is worth does not depend on it.
    """

    def __init__(self, photos: Sequence[RatedPhoto], crop: int, seed: int = 0) -> None:
        super().__init__(photos, crop, seed)

    def __getitem__(self, index: int) -> Rated:
        generator = _generator(self.seed, index)
        # An epoch sees every photograph once, in an order of its own.
        epoch, place = divmod(index, len(self.photos))
        order = torch.randperm(len(self.photos), generator=_generator(self.seed + 1, epoch))
        photo = self.photos[int(order[place])]
        image = self.reader.read(photo.path)
        if _chance(_HARMLESS, generator):
            image = _harmless_copy(image, generator)
        image = _random_crop(_enlarged(image, self.crop), self.crop, generator)
        worth = torch.tensor(photo.worth, dtype=torch.float32)
        return Rated(_random_mirror(image, generator).contiguous(), worth)


class Snapshots(_Endless[Path, Rated]):
    """Endless pictures as people take them, made from good ones: smaller, and with faults that cameras have.

    What each is worth is the first opinion of its own pixels, so that nothing is asked of what lies outside.
    Some carry a caption, which is sharp whatever the picture is, and is not to be taken for the picture.

    Args:
        pristine: photographs that are good to begin with.
        crop: side of the crops in pixels.
        scale_of: how many are made first, for the scale of the opinions.
        seed: of all random draws.
    """

    def __init__(self, pristine: Sequence[Path], crop: int, scale_of: int = 400, seed: int = 0) -> None:
        super().__init__(pristine, crop, seed)
        # Of a stream of its own: these are not learned from.
        generators = (_generator(seed + 1, index) for index in range(scale_of))
        self._scale = Scale(self._taken(generator)[1] for generator in generators)

    def __getitem__(self, index: int) -> Rated:
        shown, beneath = self._taken(_generator(self.seed, index))
        return Rated(shown, torch.tensor(self._scale.worth(beneath), dtype=torch.float32))

    def _taken(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """A picture as it is shown, and without the caption that it may carry."""
        photo = _enlarged(self.reader.read(_pick(self.photos, generator)), self.crop)
        side = _integer(self.crop, min(photo.shape[-2:]), generator)
        image = to_float(_random_crop(photo, side, generator))
        for _ in range(int(torch.multinomial(torch.tensor(_OF_A_CAMERA), 1, generator=generator))):
            image = distort(image, _pick(_CAMERA_FAULTS, generator), _integer(1, 5, generator), generator)
        # Faults are those of the camera's size; what is shown is often smaller.
        if _chance(0.5, generator):
            size = (self.crop, self.crop)
            image = F.interpolate(image[None], size=size, mode="bicubic", antialias=True)[0].clamp(0, 1)
        image = _random_mirror(_random_crop(image, self.crop, generator), generator)
        # What people have is compressed, mostly well; a model that never saw it takes it for a fault.
        quality = _integer(60, 95, generator) if _chance(0.9, generator) else None

        def compressed(picture: Tensor) -> Tensor:
            if quality is not None:
                picture = compression.jpeg(picture, quality, generator)
            return _to_bytes(picture.clamp(0, 1)).contiguous()

        beneath = compressed(image)
        if not _chance(_CAPTIONED, generator):
            return beneath, beneath
        return compressed(captioned(image, generator)), beneath


def _harmless_copy(image: Tensor, generator: Generator) -> Tensor:
    if _chance(0.5, generator):
        quality = _integer(90, 97, generator)
        return _to_bytes(compression.jpeg(to_float(image), quality, generator).clamp(0, 1))
    scale = 0.75 + 0.25 * float(torch.rand((), generator=generator))
    size = (round(image.shape[-2] * scale), round(image.shape[-1] * scale))
    smaller = F.interpolate(to_float(image)[None], size=size, mode="bicubic", antialias=True)
    return _to_bytes(smaller[0].clamp(0, 1))


class Pairs(_Endless[Path, Pair]):
    """Endless pairs of a crop and its reference: none to four faults of any type and level.

    Args:
        photos: references.
        crop: side of the crops in pixels.
        seed: of all random draws.
    """

    def __init__(self, photos: Sequence[Path], crop: int, seed: int = 0) -> None:
        super().__init__(photos, crop, seed)

    def __getitem__(self, index: int) -> Pair:
        generator = _generator(self.seed, index)
        region = _region(self.reader.read(_pick(self.photos, generator)), self.crop, generator)
        count = int(torch.multinomial(torch.tensor(_FAULTS_OF_A_PAIR), 1, generator=generator))
        faults = [(_pick(NAMES, generator), _integer(1, 5, generator)) for _ in range(count)]
        spoilt = region
        for name, level in faults:
            spoilt = distort(spoilt, name, level, generator)
        both = _to_bytes(_random_crop(torch.stack([spoilt, region]), self.crop, generator))
        return Pair(both[0], both[1], pair_labels(faults))


def to_float(images: Tensor) -> Tensor:
    """uint8 pixels as float32 in [0, 1]."""
    return images.float() / 255


def whole(image: Tensor, side: int) -> Tensor:
    """The middle ``(3, side, side)`` of ``(3, H, W)`` uint8, which is enlarged where it is smaller."""
    image = _enlarged(image, side)
    top, left = (image.shape[-2] - side) // 2, (image.shape[-1] - side) // 2
    return image[:, top : top + side, left : left + side]


def _to_bytes(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)


def clean_region(photo: Tensor, side: int, generator: Generator) -> Tensor:
    """A mirrored or plain square of ``(3, H, W)`` uint8 at a random scale: ``(3, side, side)`` float32 in [0, 1].

    Scaling down keeps a photograph clean, and shows its contents at more sizes than it was taken at.
    """
    image = _enlarged(photo, side)
    scaled = _chance(_SCALED, generator)
    taken = _integer(side, min(image.shape[-2:]), generator) if scaled else side
    region = to_float(_random_crop(image, taken, generator))
    if taken != side:
        region = F.interpolate(region[None], size=(side, side), mode="bicubic", antialias=True)[0].clamp(0, 1)
    return _random_mirror(region, generator)


def _region(photo: Tensor, crop: int, generator: Generator) -> Tensor:
    """What a crop is taken from, where the photograph is large enough with room around the crop."""
    return clean_region(photo, min(_REGION_MARGIN * crop, max(crop, min(photo.shape[-2:]))), generator)


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
