"""Where the parts of a report's charts stand, in units of the drawing; how they look is the page's matter."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.bulk.summary import Distribution

_BARS: Final = 40


@dataclass(frozen=True)
class Tick:
    """A value on an axis, and where it stands."""

    label: str
    at: float


@dataclass(frozen=True)
class Bar:
    """How many values lie in a part of [0, 1]."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """A histogram of values in [0, 1]; sizes are in its own units."""

    bars: tuple[Bar, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    median: Tick
    width: float = 520.0
    height: float = 270.0
    left: float = 62.0
    right: float = 506.0
    top: float = 22.0
    bottom: float = 220.0

    @classmethod
    def of(cls, values: Distribution) -> "Histogram":
        width, height = cls.right - cls.left, cls.bottom - cls.top
        counts = values.bars(_BARS)
        step = _step(max(counts))
        most = step * math.ceil(max(counts) / step)
        part = width / _BARS
        bars = tuple(
            Bar(
                x=round(cls.left + place * part + 0.5, 1),
                y=round(cls.bottom - height * count / most, 1),
                width=round(part - 1, 1),
                height=round(height * count / most, 1),
                label=f"{place / _BARS:.3f} to {(place + 1) / _BARS:.3f}: {count:,}",
            )
            for place, count in enumerate(counts)
            if count
        )
        median = values.quantile(0.5)
        return cls(
            bars,
            _fifths(cls.left, width),
            tuple(
                Tick(f"{count:,}", round(cls.bottom - height * count / most, 1))
                for count in range(0, most + 1, step)
            ),
            Tick(f"median {median:.2f}", round(cls.left + width * median, 1)),
        )


@dataclass(frozen=True)
class Box:
    """A distribution in a row: where 5, 25, 50, 75 and 95 of a hundred values end."""

    name: str
    y: float
    low: float
    early: float
    middle: float
    late: float
    high: float


@dataclass(frozen=True)
class Boxes:
    """Distributions of values in [0, 1] below each other."""

    rows: tuple[Box, ...]
    across: tuple[Tick, ...]
    height: float
    width: float = 640.0
    left: float = 110.0
    right: float = 626.0
    top: float = 14.0

    @classmethod
    def of(cls, distributions: Mapping[str, Distribution]) -> "Boxes":
        width, row = cls.right - cls.left, 34.0

        def at(values: Distribution, share: float) -> float:
            return round(cls.left + width * values.quantile(share), 1)

        rows = tuple(
            Box(
                name,
                cls.top + row * (number + 0.5),
                *(at(values, share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)),
            )
            for number, (name, values) in enumerate(distributions.items())
        )
        return cls(rows, _fifths(cls.left, width), cls.top + row * len(rows) + 46)


def _fifths(left: float, width: float) -> tuple[Tick, ...]:
    """The axis from 0 to 1."""
    return tuple(Tick(f"{tenth / 10:.1f}", left + width * tenth / 10) for tenth in range(0, 11, 2))


def _step(most: int) -> int:
    """A round number of which four or five make an axis."""
    rough = max(1.0, most / 4)
    scale = 10 ** math.floor(math.log10(rough))
    return int(next(step for step in (scale, 2 * scale, 5 * scale, 10 * scale) if step >= rough))
