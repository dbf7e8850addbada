"""What an encoder saw of a batch: five feature maps, and what every head pools of them, computed once."""

from collections.abc import Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ragged import Extents


class FeatureMaps:
    """F1..F5 of ``B`` images, which every head that shares the encoder reads.

    Args:
        levels: F1..F5, ``(B, C_i, H / 2^i, W / 2^i)`` in the encoder's dtype; values beyond the extents are
            undefined.
        extents: of the images at each level.
    """

    def __init__(self, levels: Sequence[Tensor], extents: Sequence[Extents]) -> None:
        self._levels = tuple(levels)
        self.extents = tuple(extents)

    @classmethod
    def unpadded(cls, levels: Sequence[Tensor]) -> "FeatureMaps":
        """The maps of images of one size, which fill their tensors."""
        sizes = [(values.shape[-2], values.shape[-1]) for values in levels]
        return cls(levels, [Extents((size,) * len(levels[0]), size) for size in sizes])

    @classmethod
    def known(cls, levels: Sequence[Tensor], means: Sequence[Tensor], grid: tuple[int, int]) -> "FeatureMaps":
        """The maps of images of one size, whose means are known already.

        Args:
            levels: F1..F5, or none where they will not be read.
            means: as of :attr:`means`.
            grid: ``(Hn, Wn)`` of the last level.
        """
        maps = cls(levels, [Extents((grid,) * len(means[-1]), grid)])
        maps.__dict__["means"] = tuple(means)
        return maps

    @property
    def levels(self) -> tuple[Tensor, ...]:
        """F1..F5, ``(B, C_i, H / 2^i, W / 2^i)``."""
        return self._levels

    @cached_property
    def means(self) -> tuple[Tensor, ...]:
        """:func:`level_means`: ``(B, 2 C_i, Hn, Wn)`` float32 of each level.

        Computed when first asked for: heads of a full-reference model or of a ResNet never do.
        """
        return level_means(self.levels)

    def of(self, rows: Sequence[int]) -> "FeatureMaps":
        """The maps of some of the images, in the order given."""
        return self if list(rows) == list(range(len(self.extents[0].sizes))) else _Rows(self, rows)


class _Rows(FeatureMaps):
    """Some rows of other maps. What is computed once for all of those is not computed again for these.

    Large maps are copied only for a head that reads them, and not where the rows are neighbors.
    """

    def __init__(self, whole: FeatureMaps, rows: Sequence[int]) -> None:
        neighbors = list(rows) == list(range(rows[0], rows[0] + len(rows)))
        self._whole = whole
        self._part: slice | list[int] = slice(rows[0], rows[0] + len(rows)) if neighbors else list(rows)
        self.extents = tuple(
            Extents(tuple(level.sizes[row] for row in rows), level.padded) for level in whole.extents
        )

    @cached_property
    def levels(self) -> tuple[Tensor, ...]:
        return tuple(values[self._part] for values in self._whole.levels)

    @cached_property
    def means(self) -> tuple[Tensor, ...]:
        return tuple(values[self._part] for values in self._whole.means)


def cell_means(features: Sequence[Tensor]) -> Tensor:
    """:func:`level_means` of all levels together, ``(B, 2 sum(C_i), Hn, Wn)`` float32."""
    return torch.cat(level_means(features), dim=1)


def level_means(features: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Means of :func:`rectify` over the cells of the common grid: ``(B, 2 C_i, Hn, Wn)`` float32 a level.

    Args:
        features: F1..F5, ``(B, C_i, h_i, w_i)``; each ``h_i`` is a multiple of the last one's.
    """
    tall, wide = features[-1].shape[-2:]
    found = []
    for values in features:
        # Whole numbers of the network, also where a graph is traced whose sizes are open.
        window = (int(values.shape[-2] // tall), int(values.shape[-1] // wide))
        # Joined after pooling: the same numbers, and no copy of the large maps.
        found.append(torch.cat([pool(values, window), pool(values.abs(), window)], dim=1))
    return tuple(found)


def pool(values: Tensor, window: tuple[int, int]) -> Tensor:
    """Mean over windows, accumulated and given in float32, whatever precision the values have."""
    return F.avg_pool2d(values, window).float()
