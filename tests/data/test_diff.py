from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma_circuits.data import Target, diff
from gemma_circuits.data.alignment import align
from gemma_circuits.data.errors import ArgumentError
from tests.data.samples import HOSTILE, small_graph

words = st.lists(st.sampled_from("abc"), min_size=1, max_size=7)


def graph(seed, tokens, **parts):
    return small_graph(seed, n_tokens=len(tokens), tokens=tuple(tokens), density=0.6, prompt=" ".join(tokens), **parts)


def fewest_changes(a, b):
    """By trying everything, the last tokens set against one another."""

    @cache
    def count(i, j):
        if not i or not j:
            return i + j
        return min(count(i - 1, j) + 1, count(i, j - 1) + 1, count(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return count(len(a) - 1, len(b) - 1)


@given(words, words)
def test_an_alignment_is_the_shortest_and_mirrors(a, b):
    pairs = align(a, b)
    assert [i for i, _ in pairs if i is not None] == list(range(len(a)))
    assert [j for _, j in pairs if j is not None] == list(range(len(b)))
    assert pairs[-1] == (len(a) - 1, len(b) - 1)
    assert sum(i is None or j is None or a[i] != b[j] for i, j in pairs[:-1]) == fewest_changes(a, b)
    assert align(b, a) == [(j, i) for i, j in pairs]
    assert align(a, a) == [(i, i) for i in range(len(a))]


def rows(found):
    """What a diff says of each row, in a form that does not depend on the order of rows."""
    return {
        (*(None if node is None else (node, node.token, node.index) for node in found.pair(row)), before, after)
        for row, (before, after) in enumerate(zip(found.influence_a.tolist(), found.influence_b.tolist()))
    }


@settings(max_examples=30, deadline=None)
@given(words, words, st.integers(0, 3), st.booleans())
def test_a_diff_mirrors_and_of_one_graph_is_empty(a, b, seed, pruned):
    first, second = graph(seed, a), graph(seed + 1, b)
    if pruned:
        first, second = first.prune(0.9, 0.9), second.prune(0.9, 0.9)
    found, mirror = diff(first, second), diff(second, first)
    assert rows(mirror) == {(y, x, after, before) for x, y, before, after in rows(found)}
    assert [node.index for node in mirror.vanished] == [node.index for node in found.appeared]
    assert [node.index for node in mirror.appeared] == [node.index for node in found.vanished]
    assert np.array_equal(np.sort(mirror.change), np.sort(-found.change))
    assert len(mirror) == len(found)
    same = diff(first, first)
    assert (len(same), len(same.vanished), len(same.appeared)) == (0, 0, 0)
    assert not same.change.any()
    assert "no difference" in repr(same) and "no difference" in same._repr_html_()


def key(node, columns, side):
    column = next(n for n, pair in enumerate(columns) if pair[side] == node.position)
    return (node.kind, column, node.token_id) if node.kind == "logit" else (node.kind, node.layer, column, node.feature)


@pytest.mark.parametrize("seed", range(3))
def test_nodes_meet_by_place_and_feature(seed):
    a, b = graph(seed, ["in", "Dallas", "is"]).prune(0.9, 0.9), graph(seed + 5, ["in", "San", "Jose", "is"])
    found = diff(a, b)
    assert found.columns == ((0, 0), (None, 1), (1, 2), (2, 3))
    sides = [{key(node, found.columns, n): node for node in side.nodes} for n, side in enumerate((a, b))]
    assert len(found.column) == len({*sides[0], *sides[1]})
    for row in range(len(found.column)):
        for n, (node, side, influence) in enumerate(
            zip(found.pair(row), (a, b), (found.influence_a, found.influence_b))
        ):
            other = found.pair(row)[1 - n]
            name = key(node or other, found.columns, n if node else 1 - n)
            assert sides[n].get(name) == node
            if node is None:
                expected = 0
            else:
                expected = node.probability if node.kind == "logit" else side.influence[node.index].item()
            assert influence[row] == pytest.approx(expected, rel=1e-6)
    before = {name for name in sides[0] if name not in sides[1]}
    assert {key(node, found.columns, 0) for node in found.vanished} == before
    first, second = found.common
    assert [key(x, found.columns, 0) for x in first] == [key(y, found.columns, 1) for y in second]
    assert len(first) + len(found.vanished) == len(a.nodes)
    assert found.column_text(1) == (None, "San") and found.column_text(2) == ("Dallas", "Jose")


def test_strongest_first():
    found = diff(graph(0, "ab"), graph(5, "ab"))
    for nodes, side in ((found.vanished, found.a), (found.appeared, found.b)):
        assert len(nodes) > 1 and (np.diff(reach(side, nodes)) <= 0).all()
    first, second = found.common
    assert (np.diff(np.abs(reach(found.b, second) - reach(found.a, first))) <= 1e-7).all()


def reach(side, nodes):
    return side.influence.numpy()[nodes.index] + np.nan_to_num(nodes.probability)


def test_features_of_different_dictionaries_have_nothing_in_common_unless_matched():
    a, b = (graph(0, "ab", metadata={"transcoder_hash": name}) for name in "xy")
    found = diff(a, b)
    assert not found.comparable and "nothing in common" in repr(found)
    assert {node.kind for node in found.common[0]} == {"error", "token", "logit"}
    features = a.nodes.where(kind="feature")
    assert len(found.vanished) == len(found.appeared) == len(features)
    places = {(node.layer, node.feature) for node in features}
    assert len(diff(a, b, match={place: place for place in places})) == 0
    one = min(places)
    partly = diff(a, b, match={one: one})
    assert {(n.layer, n.feature) for n in partly.common[0] if n.kind == "feature"} == {one}
    with pytest.raises(ArgumentError, match="match"):
        diff(a, b, match={(0, 0): (0, 1), (0, 1): (0, 1)})
    assert diff(a, graph(0, "ab", metadata={})).comparable


def test_another_depth_is_allowed():
    found = diff(graph(0, "ab"), small_graph(0, n_layers=5, n_tokens=2, tokens=("a", "b")))
    assert "logit" in found.common[0].kind


def test_as_a_data_frame_and_as_text():
    found = diff(graph(0, ["in", "Dallas", "is"]), graph(5, ["in", "San", "Jose", "is"]))
    frame = found.to_pandas()
    assert len(frame) == len(found.column)
    assert np.allclose(frame.change, frame.influence_b - frame.influence_a)
    for row, line in enumerate(frame.itertuples()):
        first, second = found.pair(row)
        node = first or second
        assert (line.kind, line.layer, line.feature) == (node.kind, node.layer, node.feature)
        assert line.position_a == (first.position if first else -1)
        assert line.position_b == (second.position if second else -1)
        assert (line.token_a, line.token_b) == (first.token if first else "", second.token if second else "")
    text = repr(found)
    assert f"{len(found.vanished)} nodes vanish, {len(found.appeared)} appear, {len(found.common[0])} stay" in text
    assert f"{found.influence_a[found.in_b < 0].max():.3g}" in text and f"{found.change.max():+.3g}" in text
    for name in ("Vanish", "Appear", "Change", "'Dallas' → 'Jose'"):
        assert name in text


def test_hostile_text_is_inert():
    targets = (Target(HOSTILE, 50, 0.5), Target("no", 51, 0.2))
    html = diff(graph(0, ["a", HOSTILE], targets=targets), graph(5, ["a", "b"]))._repr_html_()
    assert "<img" not in html
    html.encode()
