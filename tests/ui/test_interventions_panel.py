"""The panel's kernel side: history, cancelling, and what is told when something goes wrong."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import gemma_circuits as gmc
from gemma_circuits.data.errors import ArgumentError
from gemma_circuits.models.stopping import Stopped, stoppable
from gemma_circuits.ui.experiments import Change
from gemma_circuits.ui.runner import Runner

PROMPT = "The capital of the state containing Dallas is"


@pytest.fixture(scope="module")
def model():
    return gmc.load()


@pytest.fixture(scope="module")
def graph(model):
    return gmc.attribute(model, PROMPT, progress=False)


@pytest.fixture
def panel(model, graph):
    panel = gmc.Interventions(graph, model=model)
    yield panel
    panel.close()
    panel.session.close()


def test_an_experiment_joins_the_history_and_lies_over_the_graph(panel, graph):
    nodes = tuple(graph.nodes.where(kind="feature", layer=5)[:3])
    panel.session.reply(
        "try", {"changes": [{"kind": "ablate", "nodes": [n.index for n in nodes]}], "mode": "open", "new_tokens": 0}
    )
    assert panel.laboratory.wait(30)
    (experiment,) = panel.history
    assert panel.current == 0 and panel.failure == "" and panel.running == {}
    assert panel.session.selected == nodes
    overlay = np.frombuffer(panel.session.overlay["values"], np.float32)
    np.testing.assert_array_equal(overlay, experiment.outcome.changes)
    assert panel.experiments[0]["outcome"]["after"][0][0] == experiment.outcome.after[0][0]
    panel.laboratory.restore(-1)
    assert panel.session.overlay == {} and panel.current == -1
    with pytest.raises(ArgumentError, match="0 to 0"):
        panel.laboratory.restore(1)


def test_cancelling_leaves_model_and_history_as_they_were(panel, model, graph):
    before = gmc.intervene(model, PROMPT, gmc.Ablate((5, 8, 0))).baseline_logits
    nodes = tuple(graph.nodes.where(kind="feature")[:20])
    panel.laboratory.attempt([Change("ablate", nodes)], "open", 400)
    panel.laboratory.cancel()
    assert panel.laboratory.wait(30) and panel.history == () and panel.running == {} and panel.failure == ""
    assert (gmc.intervene(model, PROMPT, gmc.Ablate((5, 8, 0))).baseline_logits == before).all()


def test_a_new_experiment_stops_the_one_before(panel, graph):
    node = graph.nodes.where(kind="feature")[0]
    panel.laboratory.attempt([Change("ablate", (node,))], "open", 400)
    panel.laboratory.attempt([Change("steer", (node,), value=2.0)])
    assert panel.laboratory.wait(30)
    assert [experiment.changes[0].kind for experiment in panel.history] == ["steer"]


def test_what_goes_wrong_is_told(panel, graph):
    node = graph.nodes.where(kind="feature")[0]
    panel.laboratory.attempt([Change("patch", (node,), prompt="")])
    assert panel.laboratory.wait(30)
    assert panel.failure and panel.history == ()
    with pytest.raises(ArgumentError, match="at least one"):
        panel.laboratory.attempt([])


def test_without_the_model_it_says_so(graph):
    panel = gmc.Interventions(graph)
    panel.session.model = None
    with pytest.raises(ArgumentError, match="open it with"):
        panel.laboratory.attempt([Change("ablate", (graph.nodes[0],))])
    panel.close()
    panel.session.close()


def test_only_the_stopped_thread_stops(model):
    stop = threading.Event()
    stop.set()
    ids = model.prompt(PROMPT).token_ids
    with stoppable(stop):
        with pytest.raises(Stopped):
            model.capture(ids)
        other = []
        thread = threading.Thread(target=lambda: other.append(model.capture(ids)))
        thread.start()
        thread.join()
        assert len(other) == 1
    model.capture(ids)


def test_the_runner_tells_of_errors():
    heard = []
    runner = Runner()
    runner.start(lambda: 1 / 0, heard.append)
    assert runner.wait(5) and isinstance(heard[0], ZeroDivisionError)
    runner.start(lambda: 7, heard.append)
    assert runner.wait(5) and heard[1] == 7
