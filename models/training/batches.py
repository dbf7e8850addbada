"""Batches of cells for the heads: photographs with a number each, and variants with what is known of them.

A batch is a function of its index and the seed, so that an interrupted training resumes with the same batches
that it would have seen. Cells are cut and mirrored, which costs nothing once pictures are encoded.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from models.training.cells import CellArray
from models.training.labels import pair_severities
from models.training.samples import ENDLESS
from models.training.variants import Chain, PictureUnit, Variants

_Batch = TypeVar("_Batch", covariant=True)
_RATED_CUTS: Final = (2, 3, 4)
_GOOD_CUTS: Final = (1, 2, 3)
_OTHER_CUTS: Final = (4,)
"""Rows and columns of cells that a batch is cut by, of 16, 14 and 16."""


class RatedCells(NamedTuple):
    """Cells ``(B, h, w, C)`` float16 of whole photographs, and their worth ``(B,)`` float32 in [0, 1]."""

    cells: Tensor
    worth: Tensor


class VariantCells(NamedTuple):
    """Cells of some variants of some photographs, ``N`` in all, which the remaining fields index.

    ``cells``: ``(N, h, w, C)`` float16. ``labels``: ``(N, 20)`` of
    :func:`models.training.labels.pair_labels`. ``better``, ``worse``: ``(P,)`` int64, pairs in order, and
    ``gap``: ``(P,)`` float32, by how many levels. ``equal``: ``(E, 2)`` int64, pairs that look the same.
    ``chains``: ``(K, 3)`` int64, an untouched photograph and two neighbors of a chain, and
    ``severity``: ``(K, 20, 3)`` of :func:`models.training.labels.pair_severities`.
    """

    cells: Tensor
    labels: Tensor
    better: Tensor
    worse: Tensor
    gap: Tensor
    equal: Tensor
    chains: Tensor
    severity: Tensor


class PairCells(NamedTuple):
    """Cells ``(N, h, w, C)`` float16 of pictures beside their originals, and the targets for them.

    ``target``: ``(N,)`` float32 in [0, 1]. ``labels``: ``(N, 20)`` as above.
    """

    cells: Tensor
    target: Tensor
    labels: Tensor


class _Batches(Dataset[_Batch], Generic[_Batch]):
    """Batches without end; an epoch sees every photograph once, in an order of its own."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self._count = count
        self._batch = batch
        self._seed = seed

    def __len__(self) -> int:
        return ENDLESS

    def _photographs(self, index: int) -> Iterator[int]:
        for place in range(index * self._batch, (index + 1) * self._batch):
            epoch, rest = divmod(place, self._count)
            yield int(np.random.default_rng((self._seed, epoch)).permutation(self._count)[rest])

    def _draw(self, index: int) -> random.Random:
        return random.Random(f"{self._seed} {index}")


class RatedBatches(_Batches[RatedCells]):
    """Endless batches of photographs with a number each.

    Args:
        cells: ``(photographs, 1, h, w, C)``.
        worths: of each photograph, in [0, 1]: people's score, or an opinion that no person gave.
        batch: photographs at once.
        seed: of all random draws.
    """

    def __init__(self, cells: CellArray, worths: Sequence[float], *, batch: int = 32, seed: int = 0) -> None:
        super().__init__(len(cells), batch, seed)
        self.cells = cells
        self._worths = np.asarray(worths, np.float32)

    def __getitem__(self, index: int) -> RatedCells:
        chosen = list(self._photographs(index))
        draw = self._draw(index)
        cells = np.stack([self.cells[place, 0] for place in chosen])
        cut = _cut(torch.from_numpy(cells), draw.choice(_RATED_CUTS), draw)
        return RatedCells(cut, torch.from_numpy(self._worths[chosen]))


Choice = Callable[[Variants, int, random.Random], Sequence[PictureUnit]]
"""Some of a photograph's units, for the batch of this index."""


def of_every_kind(variants: Variants, index: int, draw: random.Random) -> list[PictureUnit]:
    """Some chains, a part, ladders, and every other time a compound: of good photographs."""
    compounds = draw.sample(variants.compounds, index % 2)
    return [
        *draw.sample(variants.chains, 3),
        *draw.sample(variants.parts, 1),
        *draw.sample(variants.ladders, min(2, len(variants.ladders))),
        *compounds,
    ]


def any_two(variants: Variants, _index: int, draw: random.Random) -> list[PictureUnit]:
    """Two units, whichever: of photographs with faults of their own."""
    return draw.sample(variants.units, 2)


class VariantBatches(_Batches[VariantCells]):
    """Endless batches of variants of photographs, with the untouched one and the one that looks the same.

    Args:
        cells: ``(photographs, variants, h, w, C)``.
        plans: what the variants of each photograph are.
        choice: which of them.
        good: whether the photographs have no faults of their own.
        batch: photographs at once.
        seed: of all random draws.
    """

    def __init__(
        self,
        cells: CellArray,
        plans: Sequence[Variants],
        choice: Choice,
        *,
        good: bool,
        batch: int,
        seed: int = 0,
    ) -> None:
        super().__init__(len(cells), batch, seed)
        self.cells = cells
        self._plans = plans
        self._choice = choice
        self._labels = [variants.labels(good) for variants in plans]
        self._cuts = _GOOD_CUTS if good else _OTHER_CUTS

    def __getitem__(self, index: int) -> VariantCells:
        draw = self._draw(index)
        cut = draw.choice(self._cuts)
        cells, labels, orders, equal, chains, severity = [], [], [], [], [], []
        base = 0
        for photograph in self._photographs(index):
            units = self._choice(self._plans[photograph], index, draw)
            rows = [0, 1]
            for unit in units:
                rows += range(unit.first, unit.first + len(unit.faults))
            places = {row: base + place for place, row in enumerate(rows)}
            base += len(rows)
            cells.append(_cut(torch.from_numpy(self.cells[photograph, rows]), cut, draw))
            labels.append(self._labels[photograph][rows])
            equal.append((places[0], places[1]))
            for unit in units:
                orders += [(places[each.better], places[each.worse], each.gap) for each in unit.orders]
                if isinstance(unit, Chain):
                    for step, levels in enumerate(itertools.pairwise(unit.levels), unit.first):
                        chains.append((places[0], places[step], places[step + 1]))
                        severity.append(pair_severities(unit.name, [0, *levels]))
        better, worse, gap = zip(*orders, strict=True)
        return VariantCells(
            torch.cat(cells),
            torch.cat(labels),
            torch.tensor(better),
            torch.tensor(worse),
            torch.tensor(gap, dtype=torch.float32),
            torch.tensor(equal),
            torch.tensor(chains, dtype=torch.int64).reshape(-1, 3),
            torch.stack(severity) if severity else torch.empty(0, labels[0].shape[1], 3, dtype=torch.int64),
        )


class PairBatches(_Batches[PairCells]):
    """Endless batches of variants of good photographs beside the untouched one, which is among them.

    Args:
        cells: ``(photographs, variants, h, w, C)`` of :class:`models.training.cells.PairEncoder`.
        plans: what the variants of each photograph are.
        targets: ``(photographs, variants)`` in [0, 1].
        batch: photographs at once.
        rows: variants of each in a batch, chosen at random.
        seed: of all random draws.
    """

    def __init__(
        self,
        cells: CellArray,
        plans: Sequence[Variants],
        targets: Tensor,
        *,
        batch: int = 12,
        rows: int = 6,
        seed: int = 0,
    ) -> None:
        super().__init__(len(cells), batch, seed)
        self.cells = cells
        self._labels = torch.stack([v.labels(good=True) for v in plans]) if plans else torch.empty(0)
        self._targets = targets.float()
        self._rows = min(rows, cells.shape[1])

    @staticmethod
    def cut(cells: Tensor, draw: random.Random) -> Tensor:
        """``(B, h, w, C)`` without some rows and columns, the same of all, mirrored every other time."""
        return _cut(cells, draw.choice(_GOOD_CUTS), draw)

    def __getitem__(self, index: int) -> PairCells:
        draw = self._draw(index)
        cut = draw.choice(_GOOD_CUTS)
        cells, targets, labels = [], [], []
        for photograph in self._photographs(index):
            rows = draw.sample(range(self.cells.shape[1]), self._rows)
            cells.append(_cut(torch.from_numpy(np.array(self.cells[photograph, rows])), cut, draw))
            targets.append(self._targets[photograph, rows])
            labels.append(self._labels[photograph, rows])
        return PairCells(torch.cat(cells), torch.cat(targets), torch.cat(labels))


def some_cells(cells: Tensor, count: int | None) -> tuple[Tensor, Tensor]:
    """Cells at random places, the same places of every picture, so that variants differ by their faults only.

    Args:
        cells: ``(B, h, w, C)``.
        count: how many; None, or more than there are, for all.

    Returns:
        ``(B, count, C)`` float32, and their places in the grid, ``(count,)`` int64, counted by rows.
    """
    total = cells.shape[1] * cells.shape[2]
    places = torch.arange(total, device=cells.device)
    if count is not None and count < total:
        places = torch.randperm(total, device=cells.device)[:count]
    return cells.flatten(1, 2)[:, places].float(), places


def _cut(cells: Tensor, cut: int, draw: random.Random) -> Tensor:
    """``(B, h, w, C)`` without some rows and columns, the same of all, mirrored every other time."""
    height, width = cells.shape[1:3]
    cut = min(cut, height - 1, width - 1)
    top, left = draw.randint(0, cut), draw.randint(0, cut)
    cells = cells[:, top : top + height - cut, left : left + width - cut]
    return cells.flip(2) if draw.random() < 0.5 else cells
