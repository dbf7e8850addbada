"""What full-reference BPCLIP learns: an ensemble of classical measures, each brought to one scale.

As the authors of KADIS-700k did (arXiv 2001.08113), pairs are labeled by full-reference measures instead
of people. Which measures, and the common scale, are our decision: each is replaced by the share of a fixed
sample of pairs that it finds worse, so that all spread over [0, 1] alike, and their mean is the target. The
scale is written down beside this module, so that a target means the same in every training and measurement.

    python -m models.training.targets.teachers PHOTOGRAPHS CACHE

makes it again from a folder of good photographs, keeping what it measured in another folder.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import piq
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.samples import to_float

_WRITTEN_DOWN = Path(__file__).with_name("teacher_scale.json")

Measure = Callable[[Tensor, Tensor], Tensor]

MEASURES: dict[str, Measure] = {
    "vsi": lambda distorted, reference: piq.vsi(distorted, reference, reduction="none"),
    "haarpsi": lambda distorted, reference: piq.haarpsi(distorted, reference, reduction="none"),
    "mdsi": lambda distorted, reference: -piq.mdsi(distorted, reference, reduction="none"),
    "cvvdp": lambda distorted, reference: _cvvdp(distorted, reference),
}
"""Each takes ``(B, 3, H, W)`` float32 in [0, 1] twice and gives ``(B,)``, higher is better. Chosen by how
they agree with people on TID2013 (ours, on 286 pairs: .898, .890, .896, .900). ColorVideoVDP (arXiv
2401.11485) is told that a picture is seen on a screen of 1920 x 1080 px."""


def _cvvdp(distorted: Tensor, reference: Tensor) -> Tensor:
    found = [
        _judge(str(distorted.device)).predict(first, second, dim_order="CHW")[0]
        for first, second in zip(distorted, reference, strict=True)
    ]
    return torch.stack(found)


@cache
def _judge(device: str) -> Any:
    import pycvvdp  # it takes a second, which only trainings should wait

    return pycvvdp.cvvdp(display_name="standard_fhd", device=torch.device(device))


@torch.no_grad()
def measure_pairs(distorted: Tensor, reference: Tensor) -> Tensor:
    """All measures of a batch of pairs, ``(B, 3, H, W)`` float32 in [0, 1] each.

    Returns:
        ``(B, len(MEASURES))`` float32, higher is better.
    """
    values = [function(distorted, reference).float() for function in MEASURES.values()]
    # The measures divide by local contrast, of which a flat picture may have none.
    return torch.nan_to_num(torch.stack(values, dim=1), nan=0.0)


class Teachers:
    """See :class:`models.training.cells.Look`: all measures of each picture, ``(rows, len(MEASURES))``."""

    name = f"teachers {' '.join(MEASURES)}"
    dtype = np.float32

    def shape(self, rows: int, side: int) -> tuple[int, ...]:
        return rows, len(MEASURES)

    def __call__(self, pictures: Tensor) -> NDArray[np.float32]:
        reference = to_float(pictures[:1])
        values: NDArray[np.float32] = torch.cat(
            [measure_pairs(to_float(picture[None]), reference) for picture in pictures]
        ).numpy()
        return values


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

    Args:
        distorted: ``(B, 3, H, W)`` float32 in [0, 1].
        reference: as ``distorted``.

    Returns:
        ``(B,)`` float32 in [0, 1].
    """
    return common_scale().targets(measure_pairs(distorted, reference))


def scale_of(values: NDArray[np.float32]) -> Scale:
    """The common scale of what :class:`Teachers` said of photographs' variants, the untouched ones first.

    Args:
        values: ``(photographs, rows, len(MEASURES))``.
    """
    known = torch.from_numpy(np.array(values))
    identical = known[:, 0].median(dim=0).values
    return Scale.fit(known[:, 1:].flatten(0, 1), identical)


def write_down(scale: Scale) -> None:
    """Makes a scale the common one, :func:`common_scale`."""
    _WRITTEN_DOWN.write_text(json.dumps(scale.as_json(), indent=1) + "\n")
