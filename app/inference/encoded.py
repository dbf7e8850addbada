"""Distinct images after one encoder pass, from which every model takes the rows that it is asked about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.inference.task_items import Pixels
from models.backbones.feature_maps import FeatureMaps
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
        rows = [self.rows[id(image)] for image in images]
        sizes = tuple(self.extents.sizes[row] for row in rows)
        return self.maps.of(rows), Extents(sizes, self.extents.padded)
