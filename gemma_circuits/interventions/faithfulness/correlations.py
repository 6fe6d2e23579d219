"""Correlation of predictions with measurements, with an interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 2000
"""Bootstrap samples of every interval."""


class Interval(NamedTuple):
    """An estimate and its 95% interval; NaN where there is too little to tell."""

    value: float
    low: float
    high: float


class Correlation(NamedTuple):
    """How well a prediction goes with a measurement.

    Intervals are percentiles of a bootstrap over the ablated features (all pairs of a feature go together); ranks are
    those of the whole sample.
    """

    predictor: str
    outcome: str
    null: bool
    """Measured on random directions in place of the features."""
    count: int
    """Features, or pairs of features."""
    spearman: Interval
    pearson: Interval
    """Of logarithms, where `logarithmic`; what is not positive is left out there."""
    logarithmic: bool


def correlate(
    predictor: str,
    outcome: str,
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    *,
    seed: int,
    null: bool = False,
    logarithmic: bool = False,
) -> Correlation:
    """Correlate predictions with measurements.

    Args:
        predictor: what `x` is, in words.
        outcome: what `y` is.
        x: (n,).
        y: (n,).
        groups: (n,) int: what is resampled together.
        seed: of the bootstrap.
        null: see `Correlation`.
        logarithmic: take Pearson's coefficient of logarithms.
    """
    positive = (x > 0) & (y > 0) if logarithmic else np.ones(len(x), bool)
    u, v = (np.log(values[positive]) if logarithmic else values for values in (x, y))
    return Correlation(
        predictor,
        outcome,
        null,
        len(x),
        bootstrap(stats.rankdata(x), stats.rankdata(y), groups, seed),
        bootstrap(u, v, groups[positive], seed),
        logarithmic,
    )


def bootstrap(x: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> Interval:
    """Pearson's coefficient, and percentiles of it over samples of whole groups, drawn with replacement."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Interval(*[float("nan")] * 3)
    u, v = (np.asarray(stats.zscore(values)) for values in (x, y))
    _, group = np.unique(groups, return_inverse=True)
    sums = np.stack([np.bincount(group, part) for part in (np.ones_like(u), u, v, u * u, v * v, u * v)], 1)
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES)
    n, sx, sy, sxx, syy, sxy = (drawn @ sums).T
    spread = (n * sxx - sx**2) * (n * syy - sy**2)
    some = spread > 1e-12 * n**4  # samples of one point many times have none
    found = (n * sxy - sx * sy)[some] / np.sqrt(spread[some])
    low, high = np.quantile(found, [0.025, 0.975]) if len(found) else (np.nan, np.nan)
    return Interval(float((u * v).mean()), float(low), float(high))


def mean(values: np.ndarray, seed: int) -> Interval:
    """Their mean, and percentiles of it over samples drawn with replacement."""
    if not len(values):
        return Interval(*[float("nan")] * 3)
    drawn = np.random.default_rng(seed).choice(values, (RESAMPLES, len(values))).mean(1)
    return Interval(float(values.mean()), *map(float, np.quantile(drawn, [0.025, 0.975])))
