"""Coefficients are SciPy's; intervals are those of its bootstrap, and of whole groups."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from gemma_circuits.interventions.faithfulness.correlations import bootstrap, correlate, mean


@dataclass
class Sample:
    x: np.ndarray
    y: np.ndarray


@pytest.fixture
def sample():
    generator = np.random.default_rng(5)
    x = generator.normal(size=80)
    return Sample(np.round(x, 1), np.round(np.exp(x + generator.normal(size=80)), 1))  # with ties


def test_coefficients(sample):
    found = correlate("a", "b", sample.x, sample.y, np.arange(80), seed=0)
    assert found.spearman.value == pytest.approx(stats.spearmanr(sample.x, sample.y).statistic, abs=1e-12)
    assert found.pearson.value == pytest.approx(stats.pearsonr(sample.x, sample.y).statistic, abs=1e-12)
    assert abs(found.spearman.value - found.pearson.value) > 0.05
    assert found[:4] == ("a", "b", False, 80)


def test_logarithms_of_what_is_positive():
    x = np.array([1.0, 2, 3, 4, 0, 5])
    found = correlate("a", "b", x, np.array([1.0, 8, 27, 64, 3, 0]), np.arange(6), seed=0, logarithmic=True)
    assert found.pearson.value == pytest.approx(1)
    assert found.spearman.value == pytest.approx(stats.spearmanr(x, [1, 8, 27, 64, 3, 0]).statistic)


def test_intervals_are_those_of_a_bootstrap(sample):
    low, high = bootstrap(sample.x, sample.y, np.arange(80), seed=1)[1:]
    theirs = stats.bootstrap(
        (sample.x, sample.y),
        lambda x, y, axis: stats.pearsonr(x, y, axis=axis).statistic,
        paired=True,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.02)
    assert high - low > 0.1


def test_groups_are_drawn_whole(sample):
    """Repeating every point tells nothing new; taking the repetitions for points of their own would narrow it."""
    once = bootstrap(sample.x, sample.y, np.arange(80), seed=1)
    repeated = np.tile(sample.x, 9), np.tile(sample.y, 9)
    assert bootstrap(*repeated, np.tile(np.arange(80), 9), seed=1) == pytest.approx(once)
    assert np.ptp(bootstrap(*repeated, np.arange(720), seed=1)[1:]) < 0.5 * np.ptp(once[1:])


def test_seeds(sample):
    assert bootstrap(sample.x, sample.y, np.arange(80), 3) == bootstrap(sample.x, sample.y, np.arange(80), 3)
    assert bootstrap(sample.x, sample.y, np.arange(80), 3) != bootstrap(sample.x, sample.y, np.arange(80), 4)


def test_intervals_hold_the_truth():
    """Of 100 samples of correlation 0.5, about 95% of the intervals."""
    generator, held = np.random.default_rng(0), 0
    for seed in range(100):
        x = generator.normal(size=60)
        low, high = bootstrap(x, x * 0.5 + generator.normal(size=60) * 0.75**0.5, np.arange(60), seed)[1:]
        held += low < 0.5 < high
    assert 88 <= held <= 99


@pytest.mark.parametrize("y", [[1.0, 1, 1, 1], [1.0, 2]])
def test_nothing_to_tell(y):
    found = correlate("a", "b", np.arange(len(y)) * 1.0, np.array(y), np.arange(len(y)), seed=0)
    assert all(map(math.isnan, (*found.spearman, *found.pearson)))


def test_mean():
    values = np.random.default_rng(0).exponential(size=200)
    found = mean(values, 0)
    assert found.value == values.mean()
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std() / 200**0.5, rel=0.1)
    assert math.isnan(mean(np.empty(0), 0).value)
