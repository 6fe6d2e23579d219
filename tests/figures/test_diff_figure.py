from __future__ import annotations

import re

import numpy as np
import pytest

from gemma_circuits.data import diff
from gemma_circuits.data.errors import ArgumentError
from gemma_circuits.figures import style
from tests.data.samples import small_graph
from tests.figures.test_circuit_figure import at, edges, markers


@pytest.fixture
def found():
    a = small_graph(0, n_tokens=3, tokens=("in", "Dallas", "is"), density=0.6).prune(0.95, 0.95)
    b = small_graph(5, n_tokens=4, tokens=("in", "San", "Jose", "is"), density=0.6).prune(0.95, 0.95)
    return diff(a, b)


def told(text):
    """Influence before and after, as a hover text tells them; None where the node is not."""
    lines = dict(line.split(": ", 1) for line in text.split("<br>"))
    return [float(lines[name].rpartition("influence ")[2]) if name in lines else None for name in ("before", "after")]


def test_nodes_show_what_vanishes_appears_and_changes(found):
    rows = markers(found.figure())
    assert len(rows) == len(found.column)
    assert len({(x, y) for x, y, *_ in rows}) == len(rows)
    influences = sorted(
        (round(float(f"{a:.3g}"), 9), round(float(f"{b:.3g}"), 9)) for a, b in zip(found.influence_a, found.influence_b)
    )
    assert sorted((round(a or 0, 9), round(b or 0, 9)) for *_, text in rows for a, b in [told(text)]) == influences
    for *_, colour, text in rows:
        red, green, blue = map(int, re.findall(r"\d+", colour))
        before, after = told(text)
        if before is None or after is None:
            assert f"#{red:02x}{green:02x}{blue:02x}" == (style.POSITIVE if before is None else style.NEGATIVE)
        elif abs(before - after) > 0.01 * max(before, after):
            assert (blue - red > 152 - 138) == (after > before)


def carried(side):
    adjacency, influence = side.adjacency.double().numpy(), side.influence.double().numpy()
    total = np.abs(adjacency).sum(1, keepdims=True)
    reach = influence + np.nan_to_num(side.graph.nodes.probability)
    return np.abs(adjacency) / np.where(total == 0, 1, total) * reach[:, None]


def test_edges_show_the_change_of_what_they_carry(found):
    figure = found.figure(max_edges=25)
    sides = [carried(side) for side in (found.a, found.b)]
    pairs = [found.pair(row) for row in range(len(found.column))]

    def of(target, source, side):
        ends = pairs[target][side], pairs[source][side]
        return sides[side][ends[0].index, ends[1].index] if all(ends) else 0.0

    n = len(pairs)
    both = np.array([[[of(t, s, side) for side in (0, 1)] for s in range(n)] for t in range(n)])
    most = both.max(-1)
    expected = set(np.argsort(-most, axis=None, kind="stable")[:25].tolist())
    row_of = {hovered(found, row): row for row in range(n)}
    place = {at(x, y): row_of[text] for x, y, *_, text in markers(figure)}
    drawn = [(place[end], place[start], colour) for start, end, colour, _ in edges(figure)]
    assert {target * n + source for target, source, _ in drawn} == expected
    for target, source, colour in drawn:
        red, _, blue = map(int, re.findall(r"\d+", colour))
        before, after = both[target, source]
        if abs(after - before) > 0.02 * most.max():
            assert (blue > red) == (after > before)


def hovered(found, row):
    parts = zip(("before", "after"), found.pair(row), (found.influence_a[row], found.influence_b[row]))
    return "<br>".join(f"{name}: {node!r}, influence {value:.3g}" for name, node, value in parts if node)


def test_texts_and_labels(found):
    feature = found.vanished.where(kind="feature")[0]
    found.a.annotations.update(labels={feature: "a label"})
    texts = [note.text for note in found.figure().layout.annotations]
    assert {"in", "– → San", "Dallas → Jose", "is", "a label"} <= set(texts)
    assert "t0 0.50 → 0.50" in texts


def test_the_same_twice_has_no_colour(found):
    same = diff(found.a, found.a)
    figure = same.figure(theme="dark", width="single")
    assert {row[3] for row in markers(figure)} == {"rgb(138, 143, 152)"}
    assert len(edges(figure)) == len(found.a.links().source)
    with pytest.raises(ArgumentError, match="max_edges"):
        found.figure(max_edges=-1)
