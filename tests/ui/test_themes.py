"""The widgets look as they did when somebody last looked at them, on light and on dark pages.

`GEMMA_CIRCUITS_REFERENCE=1 python -m pytest tests/ui/test_themes.py` takes the pictures anew; look at them then.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from test_lab import TRACE

REFERENCE = Path(__file__).parent / "reference"
SHOW = ["ui.CircuitGraph(circuit, height=320)", "ui.TokenFeatureHeatmap(circuit, height=300)"]
MEAN, APART, SHARE = 0.02, 0.25, 0.03
"""Largest mean difference of a channel, and the largest share of pixels that may differ by more than `APART` (0 to 1).
Fonts differ between machines by about a third of that; another colour or a missing part by several times."""
COMPARE = """async ([mine, wanted, limit]) => {
    const pixels = async (text) => {
        const image = new Image();
        image.src = 'data:image/png;base64,' + text;
        await image.decode();
        const canvas = new OffscreenCanvas(320, Math.round(320 * image.height / image.width));
        const context = canvas.getContext('2d');
        context.imageSmoothingQuality = 'high';
        context.drawImage(image, 0, 0, canvas.width, canvas.height);
        return context.getImageData(0, 0, canvas.width, canvas.height).data;
    };
    const [a, b] = [await pixels(mine), await pixels(wanted)];
    if (a.length !== b.length) return [1, 1];
    let [sum, apart] = [0, 0];
    for (let i = 0; i < a.length; i += 4) {
        const steps = [0, 1, 2].map((k) => Math.abs(a[i + k] - b[i + k]) / 255);
        sum += (steps[0] + steps[1] + steps[2]) / 3;
        apart += Math.max(...steps) > limit;
    }
    return [sum / (a.length / 4), apart / (a.length / 4)];
}"""


@pytest.fixture(scope="module")
def notebook(open_notebook):
    notebook = open_notebook([TRACE, *SHOW], width=1100)
    notebook.page.wait_for_selector(".gc-stage[data-state=ready]")
    return notebook


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("cell, name", [(1, "circuit"), (2, "heatmap")])
def test_it_looks_as_it_did(notebook, theme, cell, name):
    notebook.theme(theme == "dark")
    notebook.page.wait_for_timeout(500)
    picture = notebook.output(cell).locator(f".gc-{name}").screenshot()
    path = REFERENCE / f"{name}-{theme}.png"
    if os.environ.get("GEMMA_CIRCUITS_REFERENCE"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture)
    other = REFERENCE / f"{name}-{'dark' if theme == 'light' else 'light'}.png"
    mean, apart = compare(notebook, picture, path.read_bytes())
    assert mean < MEAN and apart < SHARE, (mean, apart)
    assert compare(notebook, picture, other.read_bytes())[0] > 5 * MEAN  # the comparison can fail


def compare(notebook, mine: bytes, wanted: bytes):
    return notebook.page.evaluate(COMPARE, [*(base64.b64encode(part).decode() for part in (mine, wanted)), APART])
