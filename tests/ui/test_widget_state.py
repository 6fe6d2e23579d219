"""What is done by hand can be read, set and observed as Python objects, from any view of the graph."""

from __future__ import annotations

import pytest
import traitlets

import gemma_circuits as gmc
from gemma_circuits.data import Supernode


@pytest.fixture(scope="module")
def traced():
    return gmc.attribute(gmc.load(), "The capital of the state containing Dallas is", progress=False)


@pytest.fixture
def views(traced):
    views = gmc.CircuitGraph(traced), gmc.TokenFeatureHeatmap(traced)
    yield views
    for view in views:
        view.close()
    views[0].session.close()
    traced.annotations.update(pinned=[], supernodes=[], labels={}, positions={})


def test_views_share_the_selection(traced, views):
    heard = []
    views[1].observe(lambda change: heard.append(change.new), "selected")
    views[0].selected = [2, traced.nodes[1]]
    assert views[1].selected == views[0].selected == (traced.nodes[2], traced.nodes[1])
    views[0].session.set_state({"selected": [5]})
    assert heard == [(traced.nodes[2], traced.nodes[1]), (traced.nodes[5],)]


def test_pins_and_groups_are_the_graphs(traced, views):
    heard = []
    views[1].observe(lambda change: heard.append(change.new), ["pinned", "supernodes"])
    views[0].pinned = [3]
    assert traced.annotations.notes.pinned == views[1].pinned == (traced.nodes[3],)
    views[0].supernodes = {"Texas": [0, 1]}
    assert traced.supernode("Texas").nodes == (traced.nodes[0], traced.nodes[1])
    traced.group("Texas", [4])
    assert views[1].supernodes == (Supernode("Texas", (traced.nodes[4],)),)
    assert len(heard) == 3


@pytest.mark.parametrize(
    "name, wrong", [("selected", [(99, 0, 0)]), ("pinned", ["x"]), ("supernodes", {"a": [0], "b": [0]})]
)
def test_what_does_not_fit_is_refused(views, name, wrong):
    before = getattr(views[0], name)
    with pytest.raises(traitlets.TraitError):
        setattr(views[0], name, wrong)
    assert getattr(views[0], name) == before == getattr(views[1], name)


def test_a_closed_view_hears_nothing(traced, views):
    views[0].close()
    views[1].selected = [1]
    assert views[0].selected == ()
