"""People's scores of one's own: of pairs, from a table, and how well weights agree with those held out.

A table of pairs is a CSV file with the columns ``reference``, ``distorted`` (files, relative to the table)
and ``score``. One reference in eight, by name, is held out with all its copies.
"""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from torch import Tensor

from models.bpclip.model import BPCLIP
from models.correlation import FEWEST, srcc
from models.preprocessing import Preprocessing
from models.training.batches import PairBatches, PairCells
from models.training.cells import CellArray
from models.training.grading import measure_grades
from models.training.labels import UNKNOWN
from models.training.optimize import TrainingError
from models.training.photos import DataError, PhotoReader, Split, digest, is_held_out, list_scored
from models.training.samples import whole
from models.training.whole_photos import pixels, tracked
from models.vocabulary import PAIRS

Range = tuple[float, float]
"""The score of the worst pair there can be, and of one that cannot be told apart; it may fall."""

_Item = TypeVar("_Item")
_COLUMNS: Final = ("reference", "distorted", "score")


@dataclass(frozen=True)
class ScoredPair:
    """Two files, and what people said of them in [0, 1]; 1 cannot be told apart."""

    reference: Path
    distorted: Path
    worth: float


def list_pairs(table: Path, scale: Range | None = None, split: Split = "train") -> list[ScoredPair]:
    """The pairs of a table, the part of ``split``, in its order.

    Args:
        table: of the pairs.
        scale: of its scores; None for the lowest and the highest in the table, whatever its part.
        split: which part of the references.

    Raises:
        DataError: no such table, wrong columns, a score that is no number of the scale, or a missing file.
    """
    if not table.is_file():
        raise DataError(f"There is no table of pairs at {table}.")
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not set(_COLUMNS) <= set(reader.fieldnames or ()):
            raise DataError(f"The table {table} needs the columns {', '.join(_COLUMNS)}.")
        rows = list(reader)
    scores = [_score(row["score"], table) for row in rows]
    if scale is None and len(set(scores)) < 2:
        raise DataError(f"The table {table} needs pairs with different scores.")
    worst, best = scale or (min(scores), max(scores))
    pairs = []
    for row, score in zip(rows, scores, strict=True):
        worth = (score - worst) / (best - worst)
        if not 0 <= worth <= 1:
            raise DataError(f"The score {score:g} in {table} is not on the scale from {worst:g} to {best:g}.")
        reference, distorted = table.parent / row["reference"], table.parent / row["distorted"]
        for path in (reference, distorted):
            if not path.is_file():
                raise DataError(f"The table {table} names {path}, which is not there.")
        if split == "all" or is_held_out(reference.name) == (split == "holdout"):
            pairs.append(ScoredPair(reference, distorted, worth))
    return pairs


def _score(text: str | None, table: Path) -> float:
    try:
        score = float(text or "")
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"The score {text!r} in {table} is not a number.")
    return score


@dataclass(frozen=True)
class PairPictures:
    """See :class:`models.training.cells.Pictures`: the middle of each reference, and the same of its copy.

    Attributes:
        paths: of the copies.
        references: of each copy.
        originals: digest of the references.
        side: of the pictures in pixels, a multiple of 32.
    """

    paths: tuple[Path, ...]
    references: tuple[Path, ...]
    originals: str
    side: int
    rows: int = 2
    label: str = "scored pairs"

    @classmethod
    def of(cls, pairs: Sequence[ScoredPair], side: int) -> "PairPictures":
        """Those of these pairs."""
        references = tuple(pair.reference for pair in pairs)
        return cls(tuple(pair.distorted for pair in pairs), references, digest(references), side)

    def make(self, index: int) -> Tensor:
        read = _pair(self.references[index], self.paths[index])
        return torch.stack([whole(picture, self.side) for picture in read])


def _pair(reference: Path, distorted: Path, longest_side: int = 768) -> tuple[Tensor, Tensor]:
    reader = PhotoReader(cache_bytes=0, longest_side=longest_side)
    first, second = reader.read(reference), reader.read(distorted)
    if first.shape != second.shape:
        raise DataError(f"{distorted} has another size than its reference {reference}.")
    return first, second


class ScoredPairBatches(PairBatches):
    """Endless batches of pairs with people's scores; every sixth picture is a reference beside itself.

    Args:
        cells: ``(pairs, 2, h, w, C)`` of :class:`models.training.cells.PairEncoder`.
        worths: of each pair, in [0, 1].
        batch: pairs at once.
        seed: of all random draws.
    """

    def __init__(self, cells: CellArray, worths: Sequence[float], *, batch: int = 40, seed: int = 0) -> None:
        super().__init__(cells, (), torch.ones(len(cells), 2), batch=batch, seed=seed)
        self._worths = torch.tensor(worths, dtype=torch.float32)

    def __getitem__(self, index: int) -> PairCells:
        draw = self._draw(index)
        chosen = list(self._photographs(index))
        rows = [int(draw.random() > 1 / 6) for _ in chosen]
        cells = np.stack([self.cells[pair, row] for pair, row in zip(chosen, rows, strict=True)])
        target = torch.where(torch.tensor(rows) == 1, self._worths[chosen], 1.0)
        labels = torch.full((len(chosen), len(PAIRS)), UNKNOWN)
        return PairCells(self.cut(torch.from_numpy(cells), draw), target, labels)


@torch.inference_mode()
def agreement_on_pairs(
    model: BPCLIP, preprocessing: Preprocessing, pairs: Sequence[ScoredPair], *, quiet: bool = False
) -> float | None:
    """SRCC of a full-reference model with people's scores of pairs; None where they are too few or all alike.

    Raises:
        DataError: a file cannot be decoded.
    """

    def score(pair: ScoredPair) -> float:
        side = preprocessing.longest_side or 1024
        reference, distorted = (
            preprocessing.tensor(pixels(each)) for each in _pair(pair.reference, pair.distorted, side)
        )
        return float(model(distorted, reference).score)

    return _agreement(model, [pair.worth for pair in pairs], pairs, score, quiet)


@torch.inference_mode()
def agreement_on_photographs(
    model: BPCLIP,
    preprocessing: Preprocessing,
    paths: Sequence[Path],
    worths: Sequence[float],
    *,
    quiet: bool = False,
) -> float | None:
    """SRCC of a no-reference model with people's scores of photographs, as :func:`agreement_on_pairs`."""
    reader = PhotoReader(cache_bytes=0, longest_side=preprocessing.longest_side or 1024)

    def score(path: Path) -> float:
        return float(model(preprocessing.tensor(pixels(reader.read(path)))).score)

    return _agreement(model, worths, paths, score, quiet)


def _agreement(
    model: BPCLIP,
    worths: Sequence[float],
    items: Sequence[_Item],
    score: Callable[[_Item], float],
    quiet: bool,
) -> float | None:
    if len(items) < FEWEST:
        return None
    modes = [(module, module.training) for module in model.modules()]  # the frozen encoder's is another
    model.eval()
    found = [score(item) for item in tracked(items, "held-out scores", quiet)]
    for module, training in modes:
        module.training = training
    try:
        return srcc(found, worths)
    except ValueError:
        return None


def held_out_pairs(
    model: BPCLIP,
    preprocessing: Preprocessing,
    table: Path,
    scale: Range | None,
    references: Sequence[Path],
    quiet: bool,
) -> Callable[[], dict[str, Any]]:
    """Measures a model before it is trained; what is returned does so afterwards, and measures grades.

    Raises:
        DataError: a held-out file cannot be decoded.
        TrainingError: (of what is returned) the model agrees less with held-out scores than before.
    """
    pairs = list_pairs(table, scale, "holdout")
    before = agreement_on_pairs(model, preprocessing, pairs, quiet=quiet)

    def examine() -> dict[str, Any]:
        after = agreement_on_pairs(model, preprocessing, pairs, quiet=quiet)
        grades = measure_grades(
            model,
            preprocessing,
            references,
            source=f"references of {table.name}",
            photographs=100,
            quiet=quiet,
        )
        return {**_judged_against(before, after), "grades": grades}

    return examine


def held_out_photographs(
    model: BPCLIP, preprocessing: Preprocessing, folder: Path, quiet: bool
) -> Callable[[], dict[str, Any]]:
    """As :func:`held_out_pairs`, of a folder of photographs with scores; there are no grades."""
    try:
        photos = list_scored(folder, "holdout")
    except DataError:  # nothing is held out
        photos = []
    paths, worths = [photo.path for photo in photos], [photo.mos for photo in photos]
    before = agreement_on_photographs(model, preprocessing, paths, worths, quiet=quiet)

    def examine() -> dict[str, Any]:
        return _judged_against(
            before, agreement_on_photographs(model, preprocessing, paths, worths, quiet=quiet)
        )

    return examine


def _judged_against(before: float | None, after: float | None) -> dict[str, Any]:
    """The accuracy for the metadata; nothing where too little is held out to know.

    Raises:
        TrainingError: it has fallen.
    """
    if before is None or after is None:
        return {}
    if after < before:
        raise TrainingError(
            f"The trained weights agree less with the held-out scores (SRCC {after:.3f}) than those they "
            f"began from ({before:.3f}), so they are not written. More scores, or fewer --minutes, may help."
        )
    return {"accuracy": {"srcc_holdout": round(after, 4), "srcc_holdout_before": round(before, 4)}}
