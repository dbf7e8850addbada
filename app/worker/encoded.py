"""Distinct images after one encoder pass, from which every model takes the rows that it is asked about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.worker.items import Pixels
from models.inference import FeatureMaps
from models.ragged import Extents


@dataclass(frozen=True)
class Encoded:
    """Distinct images after one encoder pass.

    Attributes:
        maps: their feature maps.
        extents: of the images.
        rows: place of each image in the batch, by the identity of its array.
    """

    maps: FeatureMaps
    extents: Extents
    rows: Mapping[int, int]

    def of(self, images: Sequence[Pixels]) -> tuple[FeatureMaps, Extents]:
        """The feature maps and the extents of some of the images, in the order given."""
        wanted = [self.rows[id(image)] for image in images]
        if wanted == list(range(len(self.extents.sizes))):
            return self.maps, self.extents
        if wanted == list(range(wanted[0], wanted[0] + len(wanted))):
            part: slice | list[int] = slice(wanted[0], wanted[0] + len(wanted))
        else:
            part = wanted

        def chosen(extents: Extents) -> Extents:
            return Extents(tuple(extents.sizes[row] for row in wanted), extents.padded)

        return [(values[part], chosen(level)) for values, level in self.maps], chosen(self.extents)
