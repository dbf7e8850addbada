"""A second opinion of scored photographs: what regressions say that did not see the photograph's own score.

People's scores are noisy, and a network that follows each of them learns the noise. Half of what the
no-reference BPCLIP learns is therefore the smoother opinion of two regressions on pooled features of the same
encoder, fitted on all other photographs (distillation from a cross-fitted teacher; which regressions and how
they are weighted is ours).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.svm import SVR

FOLDS: Final = 6
_FURTHEST: Final = 8.0  # deviations; rarer values would decide alone
_KERNEL_SHARE: Final = 0.6  # of the support vectors; the rest is the linear regression's
_RIDGE: Final = 6000.0  # on features of unit deviation

_Array = NDArray[np.float64]


def second_opinion(features: NDArray[np.float32], scores: NDArray[np.float64]) -> _Array:
    """What is said of each photograph by regressions that were fitted on the others, ``(n,)``.

    Args:
        features: ``(n, F)``, as of :func:`models.training.targets.opinion.pooled`.
        scores: ``(n,)`` of people, in [0, 1]; at least two photographs.
    """
    found = np.empty(len(scores))
    folds = KFold(min(FOLDS, len(scores)), shuffle=True, random_state=0)
    for known, asked in folds.split(features):
        found[asked] = _fitted(features[known], scores[known], features[asked])
    return found.clip(0, 1)


def _fitted(known: NDArray[np.float32], scores: _Array, asked: NDArray[np.float32]) -> _Array:
    mean, scale = known.mean(axis=0), known.std(axis=0) + 1e-3
    near, there = (np.clip((values - mean) / scale, -_FURTHEST, _FURTHEST) for values in (known, asked))
    linear = Ridge(alpha=_RIDGE).fit(near, scores).predict(there)
    # Distances between photographs must not grow with the number of features.
    width = np.sqrt(near.shape[1])
    curved = SVR(C=1, gamma=0.5, epsilon=0.05).fit(near / width, scores).predict(there / width)
    said: _Array = _KERNEL_SHARE * curved + (1 - _KERNEL_SHARE) * linear
    return said
