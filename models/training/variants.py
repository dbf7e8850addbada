"""What is made from one photograph, and what is known of the result without asking people.

From a photograph come variants: one that looks the same, the same distortion at two levels or at all, a
distortion in a part of the picture only, three distortions on top of each other. Each kind says which variant
is better than which and by how much; where faults stand in the table of :mod:`models.training.labels`, it
says which words are true. Variants are planned from a seed alone and drawn from it too, so that the same plan
can be read again without making a single picture. All numbers here are ours.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from models.training.distortions import DISTORTIONS, EXTRA_FAULTS, compression, distort, distort_levels
from models.training.labels import BAD, NAMES, UNKNOWN, pair_labels

Faults = tuple[tuple[str, int], ...]
"""Names of distortions and their levels, in the order in which they were laid on."""

_ALL: Final = DISTORTIONS | EXTRA_FAULTS
ORDERED_VARIANTS: Final = tuple(name for name in NAMES if _ALL[name].ordered)
"""Distortions whose levels can be ranked."""
_OFTEN: Final = {
    # What people do with a photograph first ...
    *("export-jpeg", "webp", "avif", "gain", "dimming", "saturation-gain", "contrast-loss"),
    # ... and what is hard to rank: no softer edge, no noise, or in a few places only.
    *("colour-diffusion", "green-shift", "hsv-saturation", "brighten", "darken"),
    *("jitter", "patch-copies", "colour-blocks", "ghosting", "pixelate"),
}
"""Drawn twice as often as the others."""
_IN_PARTS: Final = (
    *("gaussian-blur", "lens-blur", "motion-blur", "white-noise", "jpeg", "export-jpeg", "upscaling"),
    *("denoising", "gain", "dimming", "pixelate", "haze", "low-light", "chroma-noise", "impulse-noise"),
    "contrast-loss",
)
_LEVELS: Final = (1, 2, 3, 4, 5)
_NEIGHBORS: Final = 0.55  # of chains are neighboring levels, the hardest to rank
_HARMLESS_QUALITY: Final = (92, 97)  # of a JPEG that looks the same
_FEATHERS: Final = (8, 16, 32)  # px, of half of the parts; the others have a hard edge
_PART_GAP, _REST_GAP = 0.5, 0.35  # of a level: part against untouched, whole against part
_FIRST_GAP, _NEXT_GAP = 0.7, 0.35  # of a level: the first of three faults, each further one
_COMPOUND_GAP: Final = 2.0  # two or three faults against untouched


@dataclass(frozen=True)
class KnownOrder:
    """A variant (by its place) that is better than another by ``gap`` levels."""

    better: int
    worse: int
    gap: float


class PictureUnit(Protocol):
    """Some variants that belong together.

    ``first`` is the place of the first among all variants of the photograph; ``faults`` are those of each;
    ``orders`` relate them to one another and to the untouched photograph at place 0; ``make`` gives each as
    ``(3, H, W)`` float32 from the untouched one.
    """

    @property
    def first(self) -> int: ...

    @property
    def faults(self) -> tuple[Faults, ...]: ...

    @property
    def orders(self) -> tuple[KnownOrder, ...]: ...

    def make(self, photo: Tensor, generator: Generator) -> list[Tensor]: ...


@dataclass(frozen=True)
class Chain:
    """One distortion at some levels, ascending, from the same random draw."""

    first: int
    name: str
    levels: tuple[int, ...]

    @property
    def faults(self) -> tuple[Faults, ...]:
        return tuple(((self.name, level),) for level in self.levels)

    @property
    def orders(self) -> tuple[KnownOrder, ...]:
        # The untouched photograph is the variant of level 0.
        places = [(0, 0), *((level, self.first + place) for place, level in enumerate(self.levels))]
        return tuple(
            KnownOrder(better, worse, severe - mild)
            for (mild, better), (severe, worse) in itertools.combinations(places, 2)
        )

    def make(self, photo: Tensor, generator: Generator) -> list[Tensor]:
        return list(distort_levels(photo, self.name, generator, self.levels))


@dataclass(frozen=True)
class FramePart:
    """One distortion in a rectangle only, and everywhere; ``box`` is top, bottom, left, right as shares."""

    first: int
    name: str
    level: int
    box: tuple[float, float, float, float]
    feather: int

    @property
    def faults(self) -> tuple[Faults, ...]:
        return (((self.name, self.level),),) * 2

    @property
    def orders(self) -> tuple[KnownOrder, ...]:
        part, everywhere = self.first, self.first + 1
        return KnownOrder(0, part, _PART_GAP * self.level), KnownOrder(
            part, everywhere, _REST_GAP * self.level
        )

    def make(self, photo: Tensor, generator: Generator) -> list[Tensor]:
        everywhere = distort(photo, self.name, self.level, generator)
        return [photo.lerp(everywhere, self._mask(*photo.shape[-2:])), everywhere]

    def _mask(self, height: int, width: int) -> Tensor:
        mask = torch.zeros(1, height, width)
        top, bottom, left, right = self.box
        mask[:, int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = 1
        if self.feather:
            mask = F.avg_pool2d(mask[None], 2 * self.feather + 1, 1, self.feather)[0]
        return mask


@dataclass(frozen=True)
class Compound:
    """Three distortions, each on what the ones before it left."""

    first: int
    laid_on: Faults

    @property
    def faults(self) -> tuple[Faults, ...]:
        return tuple(self.laid_on[: count + 1] for count in range(len(self.laid_on)))

    @property
    def orders(self) -> tuple[KnownOrder, ...]:
        found = [KnownOrder(0, self.first, _FIRST_GAP * self.laid_on[0][1])]
        for place, (_, level) in enumerate(self.laid_on[1:], self.first + 1):
            found += [KnownOrder(place - 1, place, _NEXT_GAP * level), KnownOrder(0, place, _COMPOUND_GAP)]
        return tuple(found)

    def make(self, photo: Tensor, generator: Generator) -> list[Tensor]:
        made = [photo]
        for name, level in self.laid_on:
            made.append(distort(made[-1], name, level, generator))
        return made[1:]


@dataclass(frozen=True)
class Variants:
    """All variants of a photograph: untouched, one that looks the same, and those of the units.

    Attributes:
        seed: of the plan, and of what is random in the pictures.
        harmless_quality: of the JPEG that looks the same, at place 1.
        chains, parts, compounds, ladders: the units, whose places follow in this order. A ladder is a chain
            of all levels.
    """

    seed: int
    harmless_quality: int
    chains: tuple[Chain, ...]
    parts: tuple[FramePart, ...]
    compounds: tuple[Compound, ...]
    ladders: tuple[Chain, ...] = ()

    @property
    def units(self) -> tuple[PictureUnit, ...]:
        return *self.chains, *self.parts, *self.compounds, *self.ladders

    @property
    def faults(self) -> tuple[Faults, ...]:
        """Of every variant by its place; none of the first two."""
        return (), (), *(faults for unit in self.units for faults in unit.faults)

    @property
    def orders(self) -> tuple[KnownOrder, ...]:
        """All that is known of which variant is better."""
        return tuple(order for unit in self.units for order in unit.orders)

    def labels(self, good: bool) -> Tensor:
        """``(count, 20)`` int64 of :func:`models.training.labels.pair_labels`.

        Args:
            good: whether the photograph has no faults of its own; otherwise nothing is known of a word but
                that a fault made it true.
        """
        labels = torch.stack([pair_labels(faults) for faults in self.faults])
        return labels if good else labels.where(labels == BAD, UNKNOWN)

    def make(self, photo: Tensor) -> Tensor:
        """The variants ``(count, 3, H, W)`` uint8 of ``(3, H, W)`` float32 in [0, 1], sides from 64 px."""
        generator = Generator().manual_seed(self.seed)
        made = [photo, compression.jpeg(photo, self.harmless_quality, generator)]
        for unit in self.units:
            made += unit.make(photo, generator)
        return (torch.stack(made).clamp(0, 1) * 255).round().to(torch.uint8)


def plan(
    seed: int,
    *,
    chains: int,
    parts: int,
    compounds: int,
    always: Sequence[str] = (),
    ladders: Sequence[str] = (),
) -> Variants:
    """Choose the variants of one photograph.

    Args:
        seed: of all choices.
        chains, parts, compounds: how many units of each kind; 2, 2 and 3 variants each.
        always: distortions that are among the chains whatever is drawn, at most as many as `chains`.
        ladders: distortions that are there at all levels besides.
    """
    draw = random.Random(seed)
    quality = draw.randint(*_HARMLESS_QUALITY)
    place = 2
    chosen: list[Chain] = []
    for name in _some_ordered(chains, always, draw):
        chosen.append(Chain(place, name, _two_levels(_ALL[name].first_ordered, draw)))
        place += 2
    in_parts: list[FramePart] = []
    for name in draw.sample(_IN_PARTS, parts):
        level = _clear_level(name, 5, draw)
        in_parts.append(FramePart(place, name, level, _box(draw), draw.choice((0, draw.choice(_FEATHERS)))))
        place += 2
    compounded: list[Compound] = []
    for _ in range(compounds):
        faults = tuple((name, _clear_level(name, 4, draw)) for name in draw.sample(ORDERED_VARIANTS, 3))
        compounded.append(Compound(place, faults))
        place += 3
    climbed = tuple(
        Chain(place + len(_LEVELS) * number, name, _LEVELS) for number, name in enumerate(ladders)
    )
    return Variants(seed, quality, tuple(chosen), tuple(in_parts), tuple(compounded), climbed)


def _some_ordered(count: int, always: Sequence[str], draw: random.Random) -> list[str]:
    """Different names, `always` the first of them."""
    left = [name for name in ORDERED_VARIANTS if name not in always]
    chosen = list(always)
    while len(chosen) < count:
        (name,) = draw.choices(left, [2.0 if name in _OFTEN else 1.0 for name in left])
        left.remove(name)
        chosen.append(name)
    return chosen


def _two_levels(lowest: int, draw: random.Random) -> tuple[int, int]:
    if draw.random() < _NEIGHBORS:
        mild = draw.randint(lowest, 4)
        return mild, mild + 1
    mild, severe = sorted(draw.sample(range(lowest, 6), 2))
    return mild, severe


def _clear_level(name: str, highest: int, draw: random.Random) -> int:
    return draw.randint(max(2, _ALL[name].first_ordered), highest)


def _box(draw: random.Random) -> tuple[float, float, float, float]:
    """A side of the picture, or a rectangle of 0.6 of its height and width."""
    share = draw.uniform(0.35, 0.6)
    top, left = draw.uniform(0, 0.4), draw.uniform(0, 0.4)
    boxes: Sequence[tuple[float, float, float, float]] = (
        (0, 1, 0, share),
        (0, 1, 1 - share, 1),
        (0, share, 0, 1),
        (1 - share, 1, 0, 1),
        (top, top + 0.6, left, left + 0.6),
        (top, top + 0.6, left, left + 0.6),
    )
    return draw.choice(boxes)
