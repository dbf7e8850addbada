"""Agreement of predicted with human scores, by the measures that the field reports.

SRCC and KRCC compare orders. PLCC and RMSE compare values, and are taken after a monotonic logistic curve has
mapped predictions onto the scale of the human scores, as VQEG prescribes: "Final report from the Video
Quality Experts Group on the validation of objective models of video quality assessment, Phase II" (2003).
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Array = NDArray[np.float64]
Curve = Literal["logistic", "linear"]

FEWEST: Final = 5  # pairs: a curve of four parameters passes through any four points


@dataclass(frozen=True)
class Fit:
    """Predictions mapped onto the targets' scale.

    Attributes:
        fitted: ``(n,)`` float64, in the unit of the targets.
        curve: "linear" where the logistic did not converge, or fits worse than a line.
    """

    fitted: Array
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


def agreement(predicted: ArrayLike, target: ArrayLike) -> Agreement:
    """All measures at once.

    Args:
        predicted: ``(n,)`` scores of a model.
        target: ``(n,)`` human scores of the same images; higher is better.

    Raises:
        ValueError: fewer than five pairs, different lengths, values that are not finite, or all equal.
    """
    x, y = _pairs(predicted, target)
    fit = fit_logistic(x, y)
    return Agreement(
        n=len(x),
        srcc=srcc(x, y),
        plcc=_pearson(fit.fitted, y),
        krcc=krcc(x, y),
        rmse=_rms(fit.fitted - y),
        srcc_interval=bootstrap_interval(x, y),
        curve=fit.curve,
    )


def srcc(predicted: ArrayLike, target: ArrayLike) -> float:
    """Spearman's rank correlation in [-1, 1]; ties share their mean rank.

    Raises:
        ValueError: see :func:`agreement`.
    """
    return _spearman(*_pairs(predicted, target))


def krcc(predicted: ArrayLike, target: ArrayLike) -> float:
    """Kendall's rank correlation, tau-b, in [-1, 1].

    Raises:
        ValueError: see :func:`agreement`.
    """
    return float(stats.kendalltau(*_pairs(predicted, target)).statistic)


def plcc(predicted: ArrayLike, target: ArrayLike) -> float:
    """Pearson's correlation after :func:`fit_logistic`; positive also where the order is reversed.

    Raises:
        ValueError: see :func:`agreement`.
    """
    x, y = _pairs(predicted, target)
    return _pearson(fit_logistic(x, y).fitted, y)


def rmse(predicted: ArrayLike, target: ArrayLike) -> float:
    """Root mean squared error after :func:`fit_logistic`, in the unit of `target`.

    Raises:
        ValueError: see :func:`agreement`.
    """
    x, y = _pairs(predicted, target)
    return _rms(fit_logistic(x, y).fitted - y)


def fit_logistic(predicted: ArrayLike, target: ArrayLike) -> Fit:
    """Least-squares fit of ``(b1 - b2) / (1 + exp(-(x - b3) / |b4|)) + b2``, VQEG's four-parameter logistic.

    Raises:
        ValueError: see :func:`agreement`.
    """
    x, y = _pairs(predicted, target)
    x = _standard(x)
    slope = (x * y).mean()
    line: Array = slope * x + y.mean()

    def logistic(parameters: Array) -> Array:
        upper, lower, middle, width = parameters
        # A width of zero would divide by it; below this the curve is a step on any real data.
        curve: Array = (upper - lower) * special.expit((x - middle) / max(abs(width), 1e-6)) + lower
        return curve

    # VQEG's starting values: the targets' range, the middle of the predictions, a quarter of their spread;
    # the range upside down where low predictions mean high targets.
    ends = (y.max(), y.min()) if slope >= 0 else (y.min(), y.max())
    start = np.array([*ends, 0.0, 0.25])
    result = optimize.least_squares(lambda p: logistic(p) - y, start, method="lm", max_nfev=10_000)
    curve = logistic(result.x)
    if result.success and np.isfinite(curve).all() and _rms(curve - y) <= _rms(line - y):
        return Fit(curve, "logistic")
    return Fit(line, "linear")


def bootstrap_interval(
    predicted: ArrayLike,
    target: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the SRCC over images.

    Args:
        predicted: ``(n,)``.
        target: ``(n,)``.
        confidence: in (0, 1).
        resamples: how many times n pairs are drawn with replacement.
        seed: the same seed gives the same interval.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: see :func:`agreement`; or a `confidence` outside (0, 1), or no `resamples`.
    """
    x, y = _pairs(predicted, target)
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError("A bootstrap needs a confidence between 0 and 1 and at least one resample.")
    generator = np.random.default_rng(seed)
    values: list[float] = []
    while len(values) < resamples:
        drawn = generator.integers(len(x), size=len(x))
        if np.ptp(x[drawn]) and np.ptp(y[drawn]):  # of few or tied pairs a draw may have no order at all
            values.append(_spearman(x[drawn], y[drawn]))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _pairs(predicted: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
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
    return x, y


def _spearman(x: Array, y: Array) -> float:
    return _pearson(stats.rankdata(x), stats.rankdata(y))


def _pearson(x: Array, y: Array) -> float:
    if np.ptp(x) <= 1e-12 * np.abs(x).max():  # a fit that came out flat, up to rounding
        return 0.0
    return float(np.clip((_standard(x) * _standard(y)).mean(), -1.0, 1.0))


def _standard(values: Array) -> Array:
    """Zero mean, unit deviation."""
    centred = values - values.mean()
    centred = centred / np.abs(centred).max()  # squares of tiny differences would vanish
    standard: Array = centred / np.sqrt((centred**2).mean())
    return standard


def _rms(errors: Array) -> float:
    return float(np.sqrt((errors**2).mean()))
