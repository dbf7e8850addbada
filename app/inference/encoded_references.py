"""What was encoded of references, kept for the next pairs that they are in, so that each is encoded once.

Most of what a comparison costs is the encoding of its two images, and whoever tunes a codec holds hundreds of
images against one reference.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor

from app.inference.task_items import Item, Pixels
from models.ragged import Extents

Maps = tuple[Tensor, ...]
"""F1..F5 of one image, ``(1, C_i, h / 2^i, w / 2^i)``, without padding."""


class References:
    """The maps of the references used last, bounded in bytes; the one unused for longest goes first.

    Args:
        capacity_bytes: what all maps together may take; of 0, nothing is kept.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self._maps: OrderedDict[Hashable, Maps] = OrderedDict()

    def __len__(self) -> int:
        return len(self._maps)

    def get(self, name: Hashable) -> Maps | None:
        """The maps of that name, which are now the ones used last."""
        if name not in self._maps:
            return None
        self._maps.move_to_end(name)
        return self._maps[name]

    def keep(self, name: Hashable, maps: Maps) -> None:
        """Keeps a copy of maps, unless they alone are over the capacity."""
        self._drop(name)
        wanted = _bytes(maps)
        if wanted > self.capacity_bytes:
            return
        while self.held_bytes + wanted > self.capacity_bytes:
            self._drop(next(iter(self._maps)))
        # A view would hold on to the whole batch that it is of.
        self._maps[name] = tuple(values.clone(memory_format=torch.channels_last) for values in maps)
        self.held_bytes += wanted

    def clear(self) -> None:
        """Forgets all of them."""
        self._maps.clear()
        self.held_bytes = 0

    def _drop(self, name: Hashable) -> None:
        self.held_bytes -= _bytes(self._maps.pop(name, ()))


class Needed:
    """The references of one batch of pairs: some are kept from before, the others have to be encoded.

    Args:
        items: the pairs.
        references: what is kept.

    Attributes:
        fresh: images of the references to be encoded, each distinct one once.

    Raises:
        ValueError: a distorted image has not the size of its reference.
    """

    def __init__(self, items: Sequence[Item], references: References) -> None:
        if any(item.images[0].shape != item.images[1].shape for item in items):
            raise ValueError("A distorted image must have the size of its reference.")
        self._references = references
        self._names = [_name(item) for item in items]
        self._keyed = {name for name, item in zip(self._names, items, strict=True) if item.reference_key}
        self._kept: dict[Hashable, Maps] = {}
        fresh: dict[Hashable, Pixels] = {}
        for name, item in zip(self._names, items, strict=True):
            maps = references.get(name)
            if maps is None:
                fresh[name] = item.images[1]
            else:
                self._kept[name] = maps
        self._rows = {name: row for row, name in enumerate(fresh)}
        self.fresh: tuple[Pixels, ...] = tuple(fresh.values())

    def lay(self, encoded: Sequence[Tensor], extents: Extents) -> list[Tensor]:
        """F1..F5 of each pair's reference, ``(B, C_i, H / 2^i, W / 2^i)``; beyond the extents lies anything.

        Args:
            encoded: F1..F5 of :attr:`fresh`, ``(R, C_i, H / 2^i, W / 2^i)``.
            extents: of the pairs, ``H`` and ``W`` among them.
        """
        if list(self._rows) == self._names:
            return list(encoded)
        if len(set(self._names)) == 1:  # one size then, so there is no padding
            (shared,) = self._kept.values() or (encoded,)
            return [values.expand(len(self._names), -1, -1, -1) for values in shared]
        return [
            self._level(number, values, level)
            for number, (values, level) in enumerate(zip(encoded, _levels(extents), strict=False))
        ]

    def keep(self, encoded: Sequence[Tensor], extents: Extents) -> None:
        """Has the store keep what was encoded of references with a key; arguments as of :meth:`lay`."""
        for name, row in self._rows.items():
            if name not in self._keyed:
                continue
            place = self._names.index(name)
            sizes = (level.sizes[place] for level in _levels(extents))
            crops = (
                values[row : row + 1, :, :height, :width]
                for values, (height, width) in zip(encoded, sizes, strict=False)
            )
            self._references.keep(name, tuple(crops))

    def _level(self, number: int, encoded: Tensor, extents: Extents) -> Tensor:
        laid = encoded.new_zeros((len(self._names), *encoded.shape[1:]))
        laid = laid.contiguous(memory_format=torch.channels_last)
        for place, name, (height, width) in zip(laid, self._names, extents.sizes, strict=True):
            maps = self._kept.get(name)
            row = encoded[self._rows[name]] if maps is None else maps[number][0]
            place[:, :height, :width] = row[:, :height, :width]
        return laid


def _levels(extents: Extents) -> Iterator[Extents]:
    """At F1, F2, and so on."""
    while True:
        extents = extents.halved_up()
        yield extents


def _name(item: Item) -> Hashable:
    """Equal for equal references. Without a key it is the array's own, so that sharing it still pays."""
    reference = item.images[1]
    return (item.reference_key, *reference.shape[:2]) if item.reference_key else id(reference)


def _bytes(maps: Maps) -> int:
    return sum(values.numel() * values.element_size() for values in maps)
