"""Which photographs of many show the same.

A group has a leader, and each of its pictures was found to show what the leader shows; so two pictures of a
group are never more than two steps apart, and a chain of similar scenes cannot become one group. A leader is
the picture that seems like most others: the original, of which the others are crops and edits.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

import numpy as np

from app.picking.look import LumaThumb
from app.picking.matching import Matcher

_Likeness = tuple[int, float]
"""The number of a picture, and the clearness of the coarse match with it."""

# Chosen on training photographs: of 1,124,250 pairs of 1,500 of them, all pairs above _IS show one scene, but
# those with structure in one spot. Above it are 95 % of crops to 75 % of the side, and all other variants.
# tests/benchmarks/picking.py measures it on others.
_SEEMS: Final = 6.5
_IS: Final = 20.0
_IS_IN_ONE_SPOT: Final = 45.0
_ONE_SPOT: Final = 0.1
"""Spread below which a picture is little but a mark or a lone thing, which many others can have, too."""
# Of two frames of a burst the subject has moved.
_SEEMS_IN_BURST: Final = 5.5
_IS_IN_BURST: Final = 14.0
_BURST_S: Final = 3.0
"""Seconds between two frames of a burst at most."""
_MOST_LEADERS: Final = 12
"""Leaders, the likeliest, that a picture is compared with: a bound of the time, whatever the pictures are."""


def find_groups(
    looks: Sequence[LumaThumb], taken: Sequence[datetime | None], *, threads: int = 1
) -> list[list[int]]:
    """The groups of pictures that show the same, each in the order given; a picture alone is a group, too.

    It takes some 45 µs for each pair, and some ms for each pair that seems alike.

    Args:
        looks: of the photographs.
        taken: when each was taken, by its camera; None where it is unknown.
        threads: that compare.

    Returns:
        Numbers of photographs. Each is in one group. Groups are in the order of their first picture.
    """
    matcher = Matcher(looks)
    alike = _seeming_alike(matcher, taken, threads)
    order = sorted(range(len(looks)), key=lambda number: (-len(alike[number]), number))
    groups: dict[int, list[int]] = {}
    for number in order:
        leaders = [likeness for likeness in alike[number] if likeness[0] in groups]
        leaders.sort(key=lambda likeness: (-likeness[1], likeness[0]))
        for leader, _ in leaders[:_MOST_LEADERS]:
            if _shows_the_same(matcher, taken, number, leader):
                groups[leader].append(number)
                break
        else:
            groups[number] = [number]
    return sorted(sorted(group) for group in groups.values())


def _shows_the_same(matcher: Matcher, taken: Sequence[datetime | None], one: int, other: int) -> bool:
    clearness = matcher.fine(min(one, other), max(one, other))
    if _in_burst(taken[one], taken[other]):
        return clearness >= _IS_IN_BURST
    if clearness >= _IS_IN_ONE_SPOT:
        return True
    return clearness >= _IS and min(matcher.spread(one), matcher.spread(other)) >= _ONE_SPOT


def _seeming_alike(matcher: Matcher, taken: Sequence[datetime | None], threads: int) -> list[list[_Likeness]]:
    """For each picture, those that seem like it on the small canvas."""
    count = len(taken)
    alike: list[list[_Likeness]] = [[] for _ in range(count)]
    with ThreadPoolExecutor(threads, "compare") as pool:
        for first, found in enumerate(pool.map(matcher.coarse, range(count))):
            for place in np.flatnonzero(found >= min(_SEEMS, _SEEMS_IN_BURST)).tolist():
                second, clearness = first + 1 + place, float(found[place])
                if clearness >= _SEEMS or _in_burst(taken[first], taken[second]):
                    alike[first].append((second, clearness))
                    alike[second].append((first, clearness))
    return alike


def _in_burst(first: datetime | None, second: datetime | None) -> bool:
    if first is None or second is None:
        return False
    return abs((first - second).total_seconds()) <= _BURST_S
