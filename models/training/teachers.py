"""What full-reference BPCLIP learns: an ensemble of classical measures, each brought to one scale.

As the authors of KADIS-700k did (arXiv 2001.08113), pairs are labelled by full-reference measures instead
of people. Which measures, and the common scale, are our decision: each is replaced by the share of a fixed
sample of pairs that it finds worse, so that all spread over [0, 1] alike, and their mean is the target. The
scale is written down beside this module, so that a target means the same in every training and measurement.

    python -m models.training.teachers PHOTOGRAPHS

makes it anew from a folder of good photographs.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import piq
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import default_collate

from models.training.photos import list_photos
from models.training.samples import Pair, Pairs, to_float

_WRITTEN_DOWN = Path(__file__).with_name("teacher_scale.json")

TILE = 256
"""Side in pixels of the crops that the common scale is of."""

Measure = Callable[[Tensor, Tensor], Tensor]

MEASURES: dict[str, Measure] = {
    "vsi": lambda distorted, reference: piq.vsi(distorted, reference, reduction="none"),
    "haarpsi": lambda distorted, reference: piq.haarpsi(distorted, reference, reduction="none"),
    "mdsi": lambda distorted, reference: -piq.mdsi(distorted, reference, reduction="none"),
    "gmsd": lambda distorted, reference: -piq.gmsd(distorted, reference, reduction="none"),
}
"""Each takes ``(B, 3, H, W)`` float32 in [0, 1] twice and gives ``(B,)``, higher is better. FSIMc is left
out: it takes more than twice the time of these four together, as long as a step of the compact model."""


@torch.no_grad()
def measure(distorted: Tensor, reference: Tensor) -> Tensor:
    """All measures of a batch of pairs, ``(B, 3, H, W)`` float32 in [0, 1] each.

    Returns:
        ``(B, len(MEASURES))`` float32, higher is better.
    """
    values = [function(distorted, reference).float() for function in MEASURES.values()]
    # The measures divide by local contrast, of which a flat crop may have none.
    return torch.nan_to_num(torch.stack(values, dim=1), nan=0.0)


@dataclass(frozen=True)
class Scale:
    """Where the values of a sample of pairs lie, by measure.

    ``quantiles``: ``(Q, len(MEASURES))``, each column ascending, at evenly spaced shares from 0 to 1.
    ``identical``: ``(len(MEASURES),)``, the values of a pair of identical pictures, which become 1.
    """

    quantiles: Tensor
    identical: Tensor

    @classmethod
    def fit(cls, values: Tensor, identical: Tensor, count: int = 65) -> "Scale":
        """From the measures ``(N, len(MEASURES))`` of a sample, and those of identical pictures."""
        shares = torch.linspace(0, 1, count, dtype=values.dtype)
        return cls(torch.quantile(values.minimum(identical), shares, dim=0), identical)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Scale":
        """Of what :meth:`as_json` gave."""
        columns = [content["quantiles"][name] for name in MEASURES]
        return cls(torch.tensor(columns).T, torch.tensor([content["identical"][name] for name in MEASURES]))

    def as_json(self) -> dict[str, Any]:
        """By the measures' names, rounded to what the measures are good for."""
        columns = {
            name: [round(value, 6) for value in column.tolist()]
            for name, column in zip(MEASURES, self.quantiles.T, strict=True)
        }
        identical = {
            name: round(float(value), 6) for name, value in zip(MEASURES, self.identical, strict=True)
        }
        return {"quantiles": columns, "identical": identical}

    def targets(self, values: Tensor) -> Tensor:
        """Measures ``(B, len(MEASURES))`` -> the mean share of the sample that is worse, ``(B,)``."""
        shares = []
        for column, known in enumerate(self.quantiles.to(values.device).T.contiguous()):
            value = values[:, column].contiguous()
            above = torch.searchsorted(known, value, right=True).clamp(1, len(known) - 1)
            low, high = known[above - 1], known[above]
            within = ((value - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
            share = (above - 1 + within) / (len(known) - 1)
            # What is measured as identical is, up to rounding; just below it the sample begins.
            shares.append(torch.where(value >= self.identical[column] - 1e-6, 1.0, share))
        return torch.stack(shares, dim=1).mean(dim=1)


@cache
def common_scale() -> Scale:
    """The scale that is written down beside this module."""
    return Scale.from_json(json.loads(_WRITTEN_DOWN.read_text()))


def targets(distorted: Tensor, reference: Tensor) -> Tensor:
    """What the teachers say of a batch of pairs on their common scale, 1 for identical pictures.

    Larger pictures are judged in tiles of about :data:`TILE` px, and the mean counts: some of the measures
    shrink a picture by its size first, and would judge other pixels than those of the crops that the scale
    and the networks were made from.

    Args:
        distorted: ``(B, 3, H, W)`` float32 in [0, 1].
        reference: as ``distorted``.

    Returns:
        ``(B,)`` float32 in [0, 1].
    """
    tiles = [
        common_scale().targets(measure(spoilt_tile, tile))
        for spoilt_tile, tile in zip(_tiles(distorted), _tiles(reference), strict=True)
    ]
    return torch.stack(tiles).mean(dim=0)


def _tiles(images: Tensor) -> list[Tensor]:
    """``(B, 3, H, W)`` cut into rows and columns of equal tiles, as near to :data:`TILE` as can be."""
    rows, columns = (max(1, round(side / TILE)) for side in images.shape[-2:])
    return [tile for row in images.tensor_split(rows, dim=-2) for tile in row.tensor_split(columns, dim=-1)]


def fit_scale(photos: Sequence[Path], count: int = 2048, crop: int = TILE, *, quiet: bool = False) -> Scale:
    """The common scale of the teachers on ``count`` pairs of crops that are spoilt on purpose."""
    # A seed of its own: the scale is not fitted on the pairs that are learned first.
    pairs, values = Pairs(photos, crop, seed=1), []
    chunk = 16
    for start in track(
        range(0, count, chunk), "teachers' scale", console=Console(stderr=True), disable=quiet
    ):
        sample: Pair = default_collate([pairs[i] for i in range(start, min(start + chunk, count))])
        distorted = to_float(sample.distorted)
        reference = to_float(sample.reference)
        same = (sample.distorted == sample.reference).flatten(1).all(dim=1)
        values.append(measure(distorted[~same], reference[~same]))
    identical = measure(reference, reference).median(dim=0).values
    return Scale.fit(torch.cat(values), identical)


if __name__ == "__main__":
    _WRITTEN_DOWN.write_text(json.dumps(fit_scale(list_photos(Path(sys.argv[1]))).as_json(), indent=1) + "\n")
