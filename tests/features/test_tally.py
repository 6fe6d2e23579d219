"""What is tallied of a stream of activations, against dictionaries filled one activation at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma_circuits.features import tally as module
from gemma_circuits.features.tally import BINS, EDGES, LOW, Events, Tally, keep

FEATURES, EXAMPLES, SAMPLES, WINDOW = 3, 2, 3, 4
VALUES = (0.0, 0.0, 0.5, 1.0, 1.0, 1.25, 1e-9, 1e6)
rows = st.lists(st.lists(st.sampled_from(VALUES), min_size=FEATURES, max_size=FEATURES), min_size=1, max_size=6)
corpora = st.lists(rows, min_size=1, max_size=7)


def new_tally() -> Tally:
    return Tally(FEATURES, 1, examples=EXAMPLES, samples=SAMPLES, window=WINDOW, device=torch.device("cpu"))


def events(corpus, numbers) -> Events:
    """Activations of some contexts of a corpus; the token at a position is `number % 2 + position`."""
    found = [
        (feature, number, position, number % 2 + position, value)
        for number in numbers
        for position, values in enumerate(corpus[number])
        for feature, value in enumerate(values)
        if value
    ]
    columns = list(zip(*found)) or [()] * 5
    return Events(*(torch.tensor(column, dtype=torch.int64) for column in columns[:4]), torch.tensor(columns[4]))


def tallied(corpus, batches) -> Tally:
    tally = new_tally()
    for batch in batches:
        tally.add(events(corpus, batch))
    return tally


def examples(tally: Tally, kind, feature):
    """(context, position, activations of the window) by falling key."""
    block = tally.pack(kind, feature, feature + 1)
    return [(c, p, dict(zip(offsets.tolist(), values.tolist()))) for c, p, offsets, values in block.of(0)]


def around(context, feature):
    """Position of the first largest activation, and the nonzero ones near it by distance."""
    values = [float(np.float32(row[feature])) for row in context]
    peak = values.index(max(values))
    near = range(-(3 * WINDOW // 4), WINDOW - 3 * WINDOW // 4)
    return peak, {d: values[peak + d] for d in near if 0 <= peak + d < len(values) and values[peak + d]}


@settings(max_examples=60, deadline=None)
@given(corpora, st.integers(1, 3))
def test_tallies_equal_a_count_by_hand(corpus, size):
    numbers = range(len(corpus))
    tally = tallied(corpus, [numbers[i : i + size] for i in range(0, len(corpus), size)])
    for feature in range(FEATURES):
        fired = [
            (number, position, row[feature])
            for number, context in enumerate(corpus)
            for position, row in enumerate(context)
            if row[feature]
        ]
        values = np.array([value for *_, value in fired], np.float32)
        assert tally.count[feature] == len(fired)
        assert tally.contexts[feature] == len({number for number, *_ in fired})
        assert tally.total[feature].item() == pytest.approx(values.astype(np.float64).sum(), rel=1e-12)
        assert tally.max[feature].item() == values.max(initial=0)

        edges = np.array([-np.inf, *EDGES[1:-1], np.inf])
        assert tally.histogram[feature].tolist() == np.histogram(values, edges)[0].tolist()
        counts = Counter(number % 2 + position for number, position, _ in fired)
        keys = tally.tokens[feature]
        assert {int(LOW - (k & LOW)): int(k >> 32) for k in keys if k >= 0} == counts

        contexts = [number for number, context in enumerate(corpus) if any(row[feature] for row in context)]
        ranked = sorted(contexts, key=lambda number: (-max(row[feature] for row in corpus[number]), number))
        assert examples(tally, "top", feature) == [
            (number, *around(corpus[number], feature)) for number in ranked[:EXAMPLES]
        ]
        sample = examples(tally, "sample", feature)
        assert len(sample) == min(SAMPLES, len(contexts))
        assert sample == [(number, *around(corpus[number], feature)) for number in (c for c, *_ in sample)]
        assert len({number for number, *_ in sample} & set(contexts)) == len(sample)


@settings(max_examples=30, deadline=None)
@given(corpora, st.randoms(use_true_random=False))
def test_neither_batches_nor_order_matter(corpus, random):
    numbers = list(range(len(corpus)))
    one = tallied(corpus, [numbers])
    random.shuffle(numbers)
    cut = random.randint(0, len(numbers))
    other = tallied(corpus, [numbers[:cut], numbers[cut:]])
    for feature in range(FEATURES):
        for kind in ("top", "sample"):
            assert examples(one, kind, feature) == examples(other, kind, feature)
    assert one.histogram.equal(other.histogram) and one.tokens.sort().values.equal(other.tokens.sort().values)


@settings(max_examples=30, deadline=None)
@given(corpora)
def test_what_is_packed_can_be_unpacked(corpus):
    tally, other = tallied(corpus, [range(len(corpus))]), new_tally()
    for kind in ("top", "sample"):
        for first, last in ((0, 2), (2, 3)):
            other.unpack(kind, first, tally.pack(kind, first, last))
        assert other.keys[kind].equal(tally.keys[kind].sort(descending=True).values)
        for feature in range(FEATURES):
            assert examples(tally, kind, feature) == examples(other, kind, feature)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), max_size=8), max_size=5))
def test_counts_of_tokens_are_right_to_within_the_stated_error(batches):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TOKENS", 3)
        tally, true = new_tally(), defaultdict(Counter)
        for batch in batches:
            for feature, token in batch:
                true[feature][token] += 1
            if batch:
                features, tokens = torch.tensor(sorted(batch)).unbind(1)
                tally._count_tokens(features, tokens)
    for feature in range(2):
        held = {int(LOW - (k & LOW)): int(k >> 32) for k in tally.tokens[feature] if k >= 0}
        error, total = int(tally.token_error[feature]), true[feature].total()
        assert error <= total / 4  # Misra and Gries: total over places plus one
        assert all(held.get(token, 0) <= n <= held.get(token, 0) + error for token, n in true[feature].items())
        assert held.keys() <= true[feature].keys() and 0 not in held.values()
        assert (len(true[feature]) > 3) or (error == 0)


def test_the_sample_is_uniform():
    """4 of 40 contexts, for 3,000 features: every context is drawn by a tenth of them, whatever came when."""
    n, contexts = 3000, 40
    tally = Tally(n, 5, examples=1, samples=4, window=1, device=torch.device("cpu"))
    features = torch.arange(n)
    for number in range(contexts):
        place = torch.full((n,), number)
        tally.add(Events(features, place, torch.zeros(n).long(), torch.zeros(n).long(), torch.ones(n) + number))
    drawn = torch.zeros(n, contexts).scatter_(1, LOW - (tally.keys["sample"] & LOW), 1)
    together = (drawn.T @ drawn)[*torch.triu_indices(contexts, contexts, 1)]
    for found, expected in ((drawn.sum(0), n * 4 / contexts), (together, n * 4 * 3 / contexts / (contexts - 1))):
        assert abs(((found - expected) ** 2 / expected).mean() - 1) < 0.5  # chi squared over its degrees of freedom


def test_edges_are_powers_of_two_and_three_steps_between():
    assert len(EDGES) == BINS + 1 and EDGES[0] == 2**-12 and EDGES[-1] == 2**16
    assert EDGES[48:53] == (1, 1.25, 1.5, 1.75, 2)
    assert all(a < b <= 1.25 * a for a, b in pairwise(EDGES))


def test_keep_tells_what_has_no_place():
    held, lost = torch.tensor([[5, 9], [-1, 7]]), torch.zeros(2, dtype=torch.int64)
    chosen, places = keep(held, torch.tensor([0, 0, 1]), torch.tensor([6, 4, 1]), lost)
    assert held.tolist() == [[6, 9], [1, 7]] and lost.tolist() == [5, -1]
    assert sorted(zip(chosen.tolist(), places.tolist())) == [(0, 0), (2, 2)]
