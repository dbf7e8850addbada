"""What was encoded of references, kept for the next pairs that they are in, so that each is encoded once.

Most of what a comparison costs is the encoding of its two images, and codec tuning compares hundreds of
images with one reference.
"""

from collections import OrderedDict
from collections.abc import Hashable

from app.inference.task_items import Item
from models.runtime.backend import Encoded


class References:
    """The maps of the references used last, bounded in bytes; the one unused for longest goes first.

    Args:
        capacity_bytes: what all maps together may take; of 0, nothing is kept.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self._maps: OrderedDict[Hashable, Encoded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._maps)

    def get(self, name: Hashable) -> Encoded | None:
        """The maps of that name, which are now the ones used last."""
        if name not in self._maps:
            return None
        self._maps.move_to_end(name)
        return self._maps[name]

    def keep(self, name: Hashable, maps: Encoded) -> None:
        """Keeps a copy of maps, unless they alone are over the capacity."""
        self._drop(name)
        wanted = maps.nbytes
        if wanted > self.capacity_bytes:
            return
        while self.held_bytes + wanted > self.capacity_bytes:
            self._drop(next(iter(self._maps)))
        self._maps[name] = maps.kept()
        self.held_bytes += wanted

    def clear(self) -> None:
        """Forgets all of them."""
        self._maps.clear()
        self.held_bytes = 0

    def _drop(self, name: Hashable) -> None:
        dropped = self._maps.pop(name, None)
        self.held_bytes -= 0 if dropped is None else dropped.nbytes


def name_of(item: Item) -> Hashable:
    """Equal for equal references. Without a key it is the array's own, so that sharing it still pays."""
    reference = item.images[1]
    return (item.reference_key, *reference.shape[:2]) if item.reference_key else id(reference)
