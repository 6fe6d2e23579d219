"""The widgets appear in a real JupyterLab, and nothing is fetched from elsewhere."""

from __future__ import annotations

import pytest

TRACE = """
import gemma_circuits as gmc
from gemma_circuits import ui
model = gmc.load()
graph = gmc.attribute(model, "The capital of the state containing Dallas is", progress=False)
circuit = graph.prune()
"""


@pytest.fixture(scope="module")
def notebook(open_notebook):
    return open_notebook([TRACE, "circuit", "ui.TokenFeatureHeatmap(graph)", "ui.FeatureCard(graph)"])


@pytest.mark.parametrize("cell, name", [(1, "circuit"), (2, "heatmap"), (3, "card")])
def test_a_widget_appears(notebook, cell, name):
    assert notebook.output(cell).locator(f".gc-{name}").is_visible()
