"""QualiCLIP's opinion of photographs that were never scored: sharpness, and how few distortions are seen.

The mean of two ranks: the first opinion, which looks at pixels
(:mod:`models.training.targets.pseudo_labels`), and how little the encoder's features of a photograph look
like those of distorted copies of good ones. The latter is a ridge regression between the two kinds. No
person's score has a part in it; the method is ours.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from models.training.cells import CellArray

_RIDGE: Final = 100.0  # on features of unit deviation, both kinds weighing a half in all
_FURTHEST: Final = 8.0  # deviations; rarer values would decide alone
_EVERY: Final = 3  # of the distorted copies one in three is enough
_LOOKS_GOOD: Final = (0, 1)  # places of the untouched photograph and of what looks the same
_AT_ONCE: Final = 4  # photographs; of each there may be dozens of variants

_Array = NDArray[np.float32]


def opinions(photographs: CellArray, first: Sequence[float], variants: CellArray) -> NDArray[np.float64]:
    """The place of each photograph among all, ``(0.5 ... n - 0.5) / n``, higher is better; ties share theirs.

    Args:
        photographs: cells ``(n, 1, h, w, C)``.
        first: the first opinion of each, in (0, 1).
        variants: cells ``(m, rows, h', w', C)`` of variants of good photographs.
    """
    undistorted = rankdata(clean_looks(pooled(photographs)[:, 0], pooled(variants))) / len(photographs)
    found: NDArray[np.float64] = (rankdata(np.asarray(first) + undistorted) - 0.5) / len(photographs)
    return found


def clean_looks(features: _Array, variants: _Array) -> NDArray[np.float64]:
    """How little photographs look like distorted copies of good ones: higher is less, on no scale.

    Args:
        features: ``(n, F)`` of the photographs, which the features are standardized on.
        variants: ``(m, rows, F)``, untouched and harmless first.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3

    def standardized(values: _Array) -> NDArray[np.float64]:
        clipped: NDArray[np.float64] = np.clip((values - mean) / scale, -_FURTHEST, _FURTHEST).astype(
            np.float64
        )
        return clipped

    good = standardized(np.concatenate([variants[:, place] for place in _LOOKS_GOOD]))
    distorted = standardized(variants[:, len(_LOOKS_GOOD) :].reshape(-1, features.shape[1])[::_EVERY])
    known = np.concatenate([good, distorted])
    target = np.concatenate([np.ones(len(good)), -np.ones(len(distorted))])
    weight = np.concatenate([np.full(len(kind), 0.5 / len(kind)) for kind in (good, distorted)])
    centered = known - weight @ known
    covariance = centered.T @ (weight[:, None] * centered) + _RIDGE * np.eye(features.shape[1])
    direction = np.linalg.solve(covariance, centered.T @ (weight * target))
    looks: NDArray[np.float64] = standardized(features) @ direction
    return looks


def pooled(cells: CellArray) -> _Array:
    """Mean, deviation and maximum over the cells of each picture: ``(n, rows, 3 C)`` float32."""
    found = []
    for start in range(0, len(cells), _AT_ONCE):
        some = torch.from_numpy(cells[start : start + _AT_ONCE].astype(np.float32)).flatten(2, 3)
        found.append(torch.cat([some.mean(2), some.std(2), some.amax(2)], dim=-1))
    result: _Array = torch.cat(found).numpy()
    return result
