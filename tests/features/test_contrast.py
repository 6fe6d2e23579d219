"""Features that tell two sets of prompts apart: effects and p-values by hand, rates in simulation, planted ones."""

import itertools
import math
import warnings

import numpy as np
import pytest
from scipy import stats

from gemma_circuits import load
from gemma_circuits.data.errors import ArgumentError, IgnoredPositionError, PositionError
from gemma_circuits.features import LengthWarning, ResolutionWarning, active, contrast
from gemma_circuits.features.contrasts import permutation_test


@pytest.fixture(scope="module")
def pocket():
    return load()


def cities(state, count=8, question="capital"):
    from gemma_circuits.pocket import corpus

    return [corpus.QUESTIONS[question].format(city) for city in corpus.facts()["states"][state]["cities"][:count]]


def cliff(a, b):
    return np.mean([np.sign(x - y) for x, y in itertools.product(a, b)])


def sparse(rng, features, prompts):
    """Activations as dictionaries have them: mostly zero, with ties."""
    return rng.exponential(size=(features, prompts)).round(1) * (rng.random((features, prompts)) < 0.4)


def test_the_effect_is_how_much_oftener_the_first_set_is_larger():
    values = sparse(np.random.default_rng(0), 50, 11)
    effect, _ = permutation_test(values, 4, permutations=999)
    np.testing.assert_allclose(effect, [cliff(row[:4], row[4:]) for row in values], atol=1e-12)


def test_p_values_are_exact_where_all_permutations_are_few():
    values = sparse(np.random.default_rng(1), 20, 8)
    effect, p = permutation_test(values, 3, permutations=999)
    for row, e, got in zip(values, effect, p):
        null = [cliff(row[list(c)], np.delete(row, c)) for c in itertools.combinations(range(8), 3)]
        more, less = np.mean(np.array(null) >= e - 1e-12), np.mean(np.array(null) <= e + 1e-12)
        assert got == pytest.approx(min(1, 2 * min(more, less)))


def test_drawn_permutations_come_near_the_exact_p_values():
    values = np.random.default_rng(2).exponential(size=(40, 12))
    _, exact = permutation_test(values, 6, permutations=1000)
    _, drawn = permutation_test(values, 6, permutations=900, seed=3)
    assert math.comb(12, 6) == 924 and not np.array_equal(exact, drawn)
    assert (abs(exact - drawn) < 5 * np.sqrt(exact / 2 / 900) + 2 / 900).all()


def test_p_values_are_uniform_where_nothing_differs():
    # Two-sided p-values of a discrete statistic are at most as often small as uniform ones; with many ranks nearly so.
    values = np.random.default_rng(4).exponential(size=(2000, 20))
    _, p = permutation_test(values, 10, permutations=999)
    assert stats.kstest(p, "uniform").statistic < 0.06
    _, sparse_p = permutation_test(sparse(np.random.default_rng(5), 2000, 20), 10, permutations=999)
    for level in (0.01, 0.05, 0.2):
        spread = np.sqrt(level * (1 - level) / len(p))
        assert abs(np.mean(p <= level) - level) < 0.015 + 3 * spread
        assert np.mean(sparse_p <= level) < level + 3 * spread


def simulate(monkeypatch, model, values, n_a):
    """`contrast` of made-up activations."""
    places = np.stack([np.zeros(len(values), int), np.arange(len(values))], 1)
    monkeypatch.setattr("gemma_circuits.features.contrasts._measure", lambda *_: (places, values))
    prompts = cities("Texas")
    return contrast(model, prompts[:1] * n_a, prompts[:1] * (values.shape[1] - n_a), permutations=1999, progress=False)


def test_false_discoveries_are_as_rare_as_asked_for_and_planted_features_are_found(monkeypatch, pocket):
    rng, shares, found = np.random.default_rng(6), [], []
    for _ in range(25):
        values = rng.exponential(size=(100, 24))
        values[:20, :12] += 2
        picked = simulate(monkeypatch, pocket, values, 12).significant(0.1).feature
        shares.append(np.mean(picked >= 20) if len(picked) else 0)
        found.append(np.mean(np.isin(np.arange(20), picked)))
    assert np.mean(shares) < 0.1 + 3 * np.std(shares) / np.sqrt(len(shares))
    assert np.mean(found) > 0.9


@pytest.mark.filterwarnings("ignore::gemma_circuits.features.ResolutionWarning")
def test_q_values_are_benjamini_and_hochberg_s(monkeypatch, pocket):
    found = simulate(monkeypatch, pocket, np.random.default_rng(7).exponential(size=(60, 20)) + 1, 10)
    for p, q in zip(found.p, found.q):
        at_least = found.p[found.p >= p]
        assert q == pytest.approx(min(1, min(x * len(found) / np.sum(found.p <= x) for x in at_least)))
    assert list(found.q) == sorted(found.q)


def test_texas_against_california_finds_features_that_tell_the_state(pocket):
    found = contrast(pocket, cities("Texas"), cities("California"), at=-2, progress=False)
    told = found.significant(0.05)
    assert len(told) >= 10
    others = [active(pocket, prompt) for prompt in cities("Florida") + cities("Ohio")]
    clear = [place for place, effect in zip(told.places, told.effect) if effect > 0.9]
    assert len(clear) >= 3
    for layer, feature in clear:
        fires = [bool(len(a.nodes.where(layer=layer, feature=feature, position=len(a.prompt) - 2))) for a in others]
        assert np.mean(fires) < 0.5


def test_it_measures_what_fires(pocket):
    a, b = cities("Texas", 4), cities("Ohio", 4)
    runs = [active(pocket, prompt) for prompt in a + b]
    for at in ("max", "mean", -1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResolutionWarning)  # 4 against 4 tell little apart
            found = contrast(pocket, a, b, at=at, progress=False)
        assert found.at == str(at) and (found.n_a, found.n_b) == (4, 4)
        for row in range(0, len(found), 97):
            layer, feature = found.places[row]
            values = []
            for fired in runs:
                here = np.zeros(len(fired.prompt))
                nodes = fired.nodes.where(layer=layer, feature=feature)
                here[nodes.position] = nodes.activation
                values.append({"max": max(here), "mean": here[1:].mean(), -1: here[-1]}[at])
            assert found.mean_a[row] == pytest.approx(np.mean(values[:4]), rel=1e-5)
            assert found.mean_b[row] == pytest.approx(np.mean(values[4:]), rel=1e-5)
            assert found.effect[row] == pytest.approx(cliff(values[:4], values[4:]))
            assert np.sum(np.array(values) > 0) >= 2


def test_the_rare_are_not_tested(pocket):
    prompts = cities("Texas", 3), cities("Ohio", 3)
    with pytest.warns(ResolutionWarning):
        few, all_ = (contrast(pocket, *prompts, least=least, progress=False) for least in (6, 1))
    assert 0 < len(few) < len(all_) and (few.mean_a > 0).all() and (few.mean_b > 0).all()


def test_exchanging_the_sets_changes_the_sign_only(pocket):
    a, b = cities("Texas", 5), cities("Ohio", 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResolutionWarning)
        one, other = contrast(pocket, a, b, progress=False), contrast(pocket, b, a, progress=False)
    theirs = dict(zip(other.places, zip(other.effect, other.p, other.mean_a)))
    for place, effect, p, mean in zip(one.places, one.effect, one.p, one.mean_b):
        assert theirs[place] == pytest.approx((-effect, p, mean))


def test_lengths_must_match_where_they_would_tell(pocket):
    longer = [f"Hello {prompt}" for prompt in cities("Ohio", 4)]
    for at in ("max", "mean"):
        with pytest.raises(ArgumentError, match=r"same lengths in both sets.*compare one position"):
            contrast(pocket, cities("Texas", 4), longer, at=at, progress=False)
    with pytest.warns(LengthWarning, match="differ in length"), pytest.warns(ResolutionWarning):
        contrast(pocket, cities("Texas", 4), longer, at=-1, progress=False)
    with pytest.warns(ResolutionWarning):  # the same lengths in other numbers are matched
        contrast(pocket, [*cities("Texas", 2), *longer[:2]], [cities("Ohio", 1)[0], longer[2]], progress=False)


def test_bad_arguments(pocket):
    a, b = cities("Texas", 3), cities("Ohio", 3)
    for keywords in ({"at": "min"}, {"permutations": 9}):
        with pytest.raises(ArgumentError):
            contrast(pocket, a, b, progress=False, **keywords)
    for prompts in ((a[:1], b), (a, []), (a[0], b)):
        with pytest.raises(ArgumentError, match="two lists of at least 2 prompts"):
            contrast(pocket, *prompts, progress=False)
    with pytest.raises(PositionError):
        contrast(pocket, a, b, at=40, progress=False)
    with pytest.raises(IgnoredPositionError):
        contrast(pocket, a, b, at=0, progress=False)


def test_it_shows_itself(pocket):
    found = contrast(pocket, cities("Texas"), cities("California"), permutations=999, at=-2, progress=False)
    assert f"{len(found)} features, 8 prompts against 8 (at -2)" in repr(found)
    assert f"{found.effect[0]:+.2f}" in repr(found) and "Cliff" in found._repr_html_()
    with pytest.raises(ArgumentError, match="rate"):
        found.significant(0)
