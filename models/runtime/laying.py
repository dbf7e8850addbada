"""Which images share a tensor on OpenVINO, and which must not be the first that a graph sees."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.preprocessing import Pixels

_SMALL_BYTES: Final = 256 * 256 * 3
"""Of an image, or its encoding. Up to here several in one tensor cost less than one after another."""


def is_one_cell(inputs: Sequence[NDArray[Any]]) -> bool:
    """Whether images are of one cell: 32 x 32 pixels, or maps of them.

    What OpenVINO makes ready for such a one, where it is the first of all, scores every later image wrongly.
    """
    return any(
        each.ndim == 4 and (each.shape[2:] == (1, 1) or each.shape[1:] == (32, 32, 3)) for each in inputs
    )


def sharing_tensors(inputs: Sequence[Sequence[NDArray[Any]]], alone: Collection[int]) -> list[list[int]]:
    """Rows that share a tensor: those of equal shapes, where they are small; large ones stay alone."""
    groups: dict[object, list[int]] = {}
    for row, values in enumerate(inputs):
        small = row not in alone and max(each.nbytes for each in values) <= _SMALL_BYTES
        groups.setdefault(tuple(each.shape for each in values) if small else row, []).append(row)
    return list(groups.values())


def mirrored_whole(image: Pixels, multiple: int) -> Pixels:
    """An image whose sides are mirrored to multiples, as :func:`models.ragged.pack` does."""
    below, right = -image.shape[0] % multiple, -image.shape[1] % multiple
    if not below and not right:
        return np.ascontiguousarray(image)
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="reflect")
