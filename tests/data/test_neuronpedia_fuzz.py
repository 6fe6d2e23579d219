"""Malformed graph JSON of every kind: it is read, or refused with an error of ours.

2,000 cases; GEMMA_CIRCUITS_FUZZ=10000 sets another number.
"""

from __future__ import annotations

import copy
import json
import math
import os
import warnings
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gemma_circuits.data import Graph
from gemma_circuits.data.errors import GraphFileError
from tests.data import foreign_graphs

CASES = int(os.environ.get("GEMMA_CIRCUITS_FUZZ", "2000"))
MANY: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
DELETED, TWICE = object(), object()
JUNK: tuple[Any, ...] = (
    DELETED, TWICE, None, True, 0, -1, 3, 10**6, 10**30, -(10**30), 0.5, 1e300, math.inf, -math.inf, math.nan,
    "", "x", "-1", "L", "E", "0", "1" * 5000, "0_7_1", "E_2_0", "3_55_1", "_", "0__1", "\ud800", "[", "[1]",
    '[["a"', "[[[]]]", '"(p=', '"" (p=1e999)', "(p=)", "nan nan", [], [None], [[]], ["0_7_1", 3],
    [["a", "0_7_1"], []], [[1, 2], {}],
    {}, {"a": 1}, {"nodes": {"0_7_1": [1]}}, {"groups": {"a": None}, "unpinned": 3}, {"0_7_1": [0, 1]},
)  # fmt: skip
SAMPLES = [writer() for writer in foreign_graphs.WRITERS]
SAMPLES[0]["metadata"]["gemma_circuits"] = {"unpinned": ["0_7_1"], "nodes": {"0_7_1": [1, 2]}, "groups": {"a": [3, 4]}}
SAMPLES[0]["nodes"][5]["localClerp"] = "capital"


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of everything within a JSON value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*here, key)
        yield from paths(value[key], (*here, key))


PLACES = [list(paths(sample)) for sample in SAMPLES]
TEXTS = [json.dumps(sample).encode() for sample in SAMPLES]
some = st.integers(0, 10**6)
which = st.integers(0, len(SAMPLES) - 1)


def attempt(source: Any) -> None:
    """What is read can be used, annotated and written again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ids of two nodes
        try:
            graph = Graph.from_neuronpedia(source)
        except GraphFileError:
            return
        again = Graph.from_neuronpedia(graph.to_neuronpedia())
    assert list(again.nodes) == list(graph.nodes)
    assert again.annotations.notes == graph.annotations.notes


@settings(max_examples=CASES * 60 // 100, **MANY)
@given(which, st.lists(st.tuples(some, st.integers(0, len(JUNK) - 1)), min_size=1, max_size=3))
def test_values_with_junk_anywhere(sample, changes):
    value = copy.deepcopy(SAMPLES[sample])
    for place, junk in changes:
        *parents, last = PLACES[sample][place % len(PLACES[sample])]
        try:
            home: Any = value
            for key in parents:
                home = home[key]
            if JUNK[junk] is DELETED:
                del home[last]
            elif JUNK[junk] is TWICE:
                home.append(copy.deepcopy(home[last]))
            else:
                home[last] = copy.deepcopy(JUNK[junk])
        except (AttributeError, LookupError, TypeError):  # an earlier change took that place away
            continue
    attempt(value)


@settings(max_examples=CASES * 30 // 100, **MANY)
@given(which, some, some, st.binary(max_size=4))
def test_texts_with_bytes_replaced(tmp_path, sample, start, length, new):
    text = TEXTS[sample]
    start %= len(text)
    path = tmp_path / "graph.json"
    path.write_bytes(text[:start] + new + text[start + length % 9 :])
    attempt(path)


@settings(max_examples=CASES * 8 // 100, **MANY)
@given(which, some)
def test_texts_cut_anywhere(tmp_path, sample, length):
    path = tmp_path / "graph.json"
    path.write_bytes(TEXTS[sample][: length % len(TEXTS[sample])])
    attempt(path)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
part = st.sampled_from([[], {}, None]) | anything


@settings(max_examples=CASES * 2 // 100, **MANY)
@given(part, part, part, part)
def test_any_json_at_all(metadata, params, nodes, links):
    attempt({"metadata": metadata, "qParams": params, "nodes": nodes, "links": links})
