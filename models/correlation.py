"""Agreement of predicted with human scores, by the measures that the field reports.

SRCC and KRCC compare orders. PLCC and RMSE compare values, and are taken after a monotonic logistic curve has
mapped predictions onto the scale of the human scores, as VQEG prescribes: "Final report from the Video
Quality Experts Group on the validation of objective models of video quality assessment, Phase II" (2003).

Pairs may have weights, where some stand for more photographs than others. A pair of weight 2 counts as the
same pair twice would, in every measure; only how large weights are beside each other matters, and equal
weights give exactly what none give.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

_Array = NDArray[np.float64]
Curve = Literal["logistic", "linear"]

FEWEST: Final = 5  # pairs: a curve of four parameters passes through any four points
_KENDALL_ROWS: Final = 256


@dataclass(frozen=True)
class Fit:
    """Predictions mapped onto the targets' scale.

    Attributes:
        fitted: ``(n,)`` float64, in the unit of the targets.
        curve: "linear" where the logistic did not converge, or fits worse than a line.
    """

    fitted: _Array
    curve: Curve


@dataclass(frozen=True)
class Agreement:
    """How well predictions agree with targets.

    Attributes:
        n: number of pairs.
        srcc: Spearman's rank correlation, in [-1, 1].
        plcc: Pearson's linear correlation after the fit, in [-1, 1].
        krcc: Kendall's rank correlation (tau-b), in [-1, 1].
        rmse: root mean squared error after the fit, in the unit of the targets.
        srcc_interval: 95 % bootstrap interval of `srcc`.
        curve: which curve PLCC and RMSE were taken after.
    """

    n: int
    srcc: float
    plcc: float
    krcc: float
    rmse: float
    srcc_interval: tuple[float, float]
    curve: Curve


def agreement(predicted: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> Agreement:
    """All measures at once.

    Args:
        predicted: ``(n,)`` scores of a model.
        target: ``(n,)`` human scores of the same images; higher is better.
        weights: ``(n,)`` positive; None counts every pair alike.

    Raises:
        ValueError: fewer than five pairs, different lengths, values that are not finite, or all equal; or
            weights that are not positive.
    """
    x, y, w = _pairs(predicted, target, weights)
    fit = fit_logistic(x, y, w)
    return Agreement(
        n=len(x),
        srcc=srcc(x, y, w),
        plcc=_pearson(fit.fitted, y, w),
        krcc=krcc(x, y, w),
        rmse=_rms(fit.fitted - y, w),
        srcc_interval=bootstrap_interval(x, y, w),
        curve=fit.curve,
    )


def srcc(predicted: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Spearman's rank correlation in [-1, 1]; ties share their mean rank.

    With weights, the rank of a value is the weight that lies below it and half of its own.

    Raises:
        ValueError: see :func:`agreement`.
    """
    return _spearman(*_pairs(predicted, target, weights))


def krcc(predicted: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Kendall's rank correlation, tau-b, in [-1, 1].

    With weights, each two images that agree or disagree count with the product of their weights.

    Raises:
        ValueError: see :func:`agreement`.
    """
    x, y, w = _pairs(predicted, target, weights)
    return float(stats.kendalltau(x, y).statistic) if w is None else _weighted_kendall(x, y, w)


def plcc(predicted: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Pearson's correlation after :func:`fit_logistic`; positive also where the order is reversed.

    Raises:
        ValueError: see :func:`agreement`.
    """
    x, y, w = _pairs(predicted, target, weights)
    return _pearson(fit_logistic(x, y, w).fitted, y, w)


def pearson(predicted: ArrayLike, target: ArrayLike) -> float:
    """Pearson's correlation of the values as they are, without a fit, in [-1, 1].

    Raises:
        ValueError: see :func:`agreement`.
    """
    return _pearson(*_pairs(predicted, target, None))


def rmse(predicted: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Root mean squared error after :func:`fit_logistic`, in the unit of `target`.

    Raises:
        ValueError: see :func:`agreement`.
    """
    x, y, w = _pairs(predicted, target, weights)
    return _rms(fit_logistic(x, y, w).fitted - y, w)


def fit_logistic(predicted: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> Fit:
    """Least-squares fit of ``(b1 - b2) / (1 + exp(-(x - b3) / |b4|)) + b2``, VQEG's four-parameter logistic.

    Raises:
        ValueError: see :func:`agreement`.
    """
    x, y, w = _pairs(predicted, target, weights)
    x = _standard(x, w)
    slope = _mean(x * y, w)
    line: _Array = slope * x + _mean(y, w)
    strength = 1.0 if w is None else np.sqrt(w)  # squared, the errors weigh as much as their pairs

    def logistic(parameters: _Array) -> _Array:
        upper, lower, middle, width = parameters
        # A width of zero would divide by it; below this the curve is a step on any real data.
        curve: _Array = (upper - lower) * special.expit((x - middle) / max(abs(width), 1e-6)) + lower
        return curve

    # VQEG's starting values: the targets' range, the middle of the predictions, a quarter of their spread;
    # the range upside down where low predictions mean high targets.
    ends = (y.max(), y.min()) if slope >= 0 else (y.min(), y.max())
    start = np.array([*ends, 0.0, 0.25])
    result = optimize.least_squares(
        lambda p: strength * (logistic(p) - y), start, method="lm", max_nfev=10_000
    )
    curve = logistic(result.x)
    if result.success and np.isfinite(curve).all() and _rms(curve - y, w) <= _rms(line - y, w):
        return Fit(curve, "logistic")
    return Fit(line, "linear")


def bootstrap_interval(
    predicted: ArrayLike,
    target: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the SRCC over images.

    All images are drawn alike, and each brings its weight along. Of a stratified sample that is a little too
    wide: how many come from each part is left to chance too.

    Args:
        predicted: ``(n,)``.
        target: ``(n,)``.
        weights: see :func:`agreement`.
        confidence: in (0, 1).
        resamples: how many times n pairs are drawn with replacement.
        seed: the same seed gives the same interval.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: see :func:`agreement`; or a `confidence` outside (0, 1), or no `resamples`.
    """
    x, y, w = _pairs(predicted, target, weights)
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError("A bootstrap needs a confidence between 0 and 1 and at least one resample.")
    generator = np.random.default_rng(seed)
    values: list[float] = []
    while len(values) < resamples:
        drawn = generator.integers(len(x), size=len(x))
        if np.ptp(x[drawn]) and np.ptp(y[drawn]):  # of few or tied pairs a draw may have no order at all
            values.append(_spearman(x[drawn], y[drawn], None if w is None else w[drawn]))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _pairs(
    predicted: ArrayLike, target: ArrayLike, weights: ArrayLike | None
) -> tuple[_Array, _Array, _Array | None]:
    """Both as arrays, and the weights with a mean of one; None where all weigh the same."""
    x, y = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"Predictions and targets are two lists of one length, not {x.shape} and {y.shape}.")
    if len(x) < FEWEST:
        raise ValueError(f"Agreement needs at least {FEWEST} pairs, not {len(x)}.")
    for values, name in ((x, "predictions"), (y, "targets")):
        if not np.isfinite(values).all():
            raise ValueError(f"Some {name} are not finite numbers.")
        if values.min() == values.max():
            raise ValueError(f"All {name} are equal, so there is no order to agree on.")
    if weights is None:
        return x, y, None
    w = np.asarray(weights, np.float64)
    if w.shape != x.shape:
        raise ValueError(f"There is one weight for each of the {len(x)} pairs, not {w.shape}.")
    if not (np.isfinite(w).all() and (w > 0).all()):
        raise ValueError("Some weights are not positive numbers.")
    return x, y, None if w.min() == w.max() else w / w.mean()


def _spearman(x: _Array, y: _Array, weights: _Array | None) -> float:
    return _pearson(_ranks(x, weights), _ranks(y, weights), weights)


def _ranks(values: _Array, weights: _Array | None) -> _Array:
    if weights is None:
        ranks: _Array = stats.rankdata(values)
        return ranks
    _, group = np.unique(values, return_inverse=True)
    mass = np.bincount(group, weights)
    middles: _Array = np.cumsum(mass) - mass / 2
    return middles[group]


def _weighted_kendall(x: _Array, y: _Array, weights: _Array) -> float:
    """tau-b of every two images, a strip of rows at a time: all at once would be a matrix of n times n."""
    agreeing = ordered_x = ordered_y = 0.0
    for start in range(0, len(x), _KENDALL_ROWS):
        rows = slice(start, start + _KENDALL_ROWS)
        signs_x = np.sign(x[rows, None] - x)
        signs_y = np.sign(y[rows, None] - y)
        agreeing += float(weights[rows] @ (signs_x * signs_y) @ weights)
        ordered_x += float(weights[rows] @ np.abs(signs_x) @ weights)
        ordered_y += float(weights[rows] @ np.abs(signs_y) @ weights)
    return float(np.clip(agreeing / np.sqrt(ordered_x * ordered_y), -1.0, 1.0))


def _pearson(x: _Array, y: _Array, weights: _Array | None) -> float:
    if np.ptp(x) <= 1e-12 * np.abs(x).max():  # a fit that came out flat, up to rounding
        return 0.0
    return float(np.clip(_mean(_standard(x, weights) * _standard(y, weights), weights), -1.0, 1.0))


def _standard(values: _Array, weights: _Array | None) -> _Array:
    """Zero mean, unit deviation."""
    centered = values - _mean(values, weights)
    centered = centered / np.abs(centered).max()  # squares of tiny differences would vanish
    standard: _Array = centered / np.sqrt(_mean(centered**2, weights))
    return standard


def _mean(values: _Array, weights: _Array | None) -> float:
    return float(values.mean() if weights is None else np.average(values, weights=weights))


def _rms(errors: _Array, weights: _Array | None) -> float:
    return float(np.sqrt(_mean(errors**2, weights)))
