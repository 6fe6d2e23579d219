"""Views on disk: what was added and tried comes back, and a dead kernel costs nothing."""

from __future__ import annotations

import json

import pytest

import gemma_circuits as gmc
from gemma_circuits.data import Graph
from gemma_circuits.data.errors import ArgumentError, GraphFileError, NodeError
from gemma_circuits.ui import saving
from gemma_circuits.ui.experiments import Change

PROMPT = "The capital of the state containing Dallas is"


@pytest.fixture(scope="module")
def model():
    return gmc.load()


@pytest.fixture
def traced(model):
    return gmc.attribute(model, PROMPT, progress=False)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "autosaves", lambda: tmp_path / "autosave")
    return tmp_path


def worked_on(graph, model):
    view = gmc.show(graph, model=model)
    graph.annotations.update(
        pinned=[3], labels={3: "é <b>"}, positions={"Texas": (1, 2), 3: (0, 0.5)}, supernodes={"Texas": [4, 5]}
    )
    view.session.node_threshold = 0.6
    view.session.filter = "layer>1"
    view.selected = [7]
    view.layout_of_panes = {"across": 0.4, "beside": "interventions"}
    view.laboratory.attempt([Change("ablate", (graph.nodes[4],), name="Texas")], "open", 1)
    assert view.laboratory.wait(30)
    return view


def same(view, other):
    assert saving.snapshot(view) == saving.snapshot(other)
    assert view.history == other.history
    assert (view.selected, view.pinned, view.supernodes) == (other.selected, other.pinned, other.supernodes)


@pytest.mark.parametrize("shown", [lambda graph: graph, lambda graph: graph.prune(0.7)])
def test_a_file_brings_everything_back(traced, model, folder, shown):
    view = worked_on(shown(traced), model) if shown(traced) is traced else worked_on_circuit(shown(traced), model)
    path = view.save(folder / "dallas.gmc")
    again = gmc.open(path, model=model)
    assert again.session.graph is not traced
    same(view, again)
    assert len(again.history) == 1
    for one in (view, again):
        one.close()
        one.session.close()


def worked_on_circuit(circuit, model):
    view = gmc.show(circuit, model=model)
    circuit.graph.group("Texas", [4, 5])
    view.laboratory.attempt([Change("ablate", (circuit.graph.nodes[4],))])
    assert view.laboratory.wait(30)
    return view


def test_a_saved_graph_opens_too(traced, folder):
    view = gmc.open(traced.save(folder / "graph.safetensors"))
    assert view.history == () and view.session.graph.prompt == PROMPT
    assert Graph.load(folder / "graph.safetensors").prompt == PROMPT
    view.close()


def test_a_copy_of_a_dead_kernel_is_found_and_brought_back(traced, model, monkeypatch):
    view = worked_on(traced, model)
    view._autosave.write()
    wanted = saving.snapshot(view)
    view.close()
    view.session.close()

    monkeypatch.setattr(saving, "_KERNEL", "another")
    fresh = gmc.show(gmc.attribute(model, PROMPT, progress=False), model=model)
    assert fresh.recoverable
    fresh.selected = [1]
    fresh._autosave.write()  # work in the new kernel does not touch the copy
    fresh.recover()
    assert saving.snapshot(fresh) == wanted
    assert not fresh.recoverable
    with pytest.raises(ArgumentError, match="unsaved work"):
        fresh.recover()
    fresh.close()


def test_the_newest_copy_opens_without_tracing_again(traced, model):
    with pytest.raises(ArgumentError, match="autosaved view"):
        gmc.recover()
    view = worked_on(traced, model)
    view._autosave.write()
    again = gmc.recover()
    assert saving.snapshot(again) == saving.snapshot(view)
    for one in (view, again):
        one.close()


def test_saving_takes_the_copy_away(traced, folder):
    view = gmc.show(traced)
    view._autosave.write()
    assert list((folder / "autosave").glob("*/view.json"))
    view.save(folder / "x.gmc")
    assert not list((folder / "autosave").glob("*/view.json"))
    view.close()


def test_copies_do_not_pile_up(traced, folder, monkeypatch):
    monkeypatch.setattr(saving, "KEPT", 2)
    view = gmc.show(traced)
    for i in range(4):
        (folder / "autosave" / f"old{i}").mkdir(parents=True)
        (folder / "autosave" / f"old{i}" / "view.json").write_text("{}")
    view._autosave.write()
    assert len(list((folder / "autosave").iterdir())) == 2
    view.close()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"experiments": 3}'])
def test_a_broken_copy_is_refused_and_nothing_changes(traced, folder, text):
    view = gmc.show(traced)
    view._autosave.write()
    (view._autosave.folder / "view.json").write_text(text)
    with pytest.raises((GraphFileError, ArgumentError)):
        gmc.recover()
    view.close()


def test_a_snapshot_of_another_graph_is_refused_as_a_whole(traced, model):
    view = worked_on(traced, model)
    saved = saving.snapshot(view)
    saved["annotations"]["pinned"] = [10**6]
    other = gmc.show(gmc.attribute(model, PROMPT, progress=False))
    before = saving.snapshot(other)
    with pytest.raises(NodeError):
        saving.restore(other, json.loads(json.dumps(saved)))
    assert saving.snapshot(other) == before
    for one in (view, other):
        one.close()
