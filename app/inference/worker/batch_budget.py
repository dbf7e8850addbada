"""How large a batch may be: what is configured, or less for a while after the device ran out of memory."""

from dataclasses import replace
from typing import Final

from app.inference.batching import Budget

_LEAST_PIXELS: Final = 2**16
"""The budget never falls below this; a single request is let through however large it is."""
_RISE: Final = 1.05  # per batch that went well and used at least half of what was allowed


class ElasticBudget:
    """A budget that is halved when memory runs out, and rises again slowly.

    Args:
        most: what is configured.
    """

    def __init__(self, most: Budget) -> None:
        self._most = most
        self._pixels = float(most.pixels)

    @property
    def now(self) -> Budget:
        """What the next batch may hold."""
        return replace(self._most, pixels=int(self._pixels))

    def ran_out(self, padded_pixels: int) -> None:
        """The device had no memory for a batch of so many pixels, padding included."""
        # Of the smaller one: half of a budget that was far from used would not have helped.
        halved = min(self._pixels, padded_pixels) / 2
        self._pixels = max(halved, min(_LEAST_PIXELS, self._most.pixels))

    def went_well(self, padded_pixels: int) -> None:
        """The device did a batch of so many pixels, padding included."""
        if 2 * padded_pixels >= self._pixels:
            self._pixels = min(self._pixels * _RISE, float(self._most.pixels))
