"""The workbench in a real JupyterLab: change nodes by hand, save, recover, export."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest
from lab import outside
from playwright.sync_api import expect
from test_circuit_graph import HOSTILE, TRACE, Shown

OAKLAND = "The capital of the state containing Oakland is"
WORKBENCH = (
    TRACE.replace("view = ui.CircuitGraph(circuit)", "view = gmc.show(graph)")
    + """
here = graph.tokens.index(" Dallas")
prompt = "The capital of the state containing {} is"
def at(city):
    active = gmc.features.active(model, prompt.format(city), progress=False)
    nodes = active.nodes.where(position=active.prompt.tokens.index(f" {city}"))
    return set(zip(nodes.layer.tolist(), nodes.feature.tolist()))
texan, other = ([at(city) for city in cities] for cities in (
    ("Houston", "El Paso", "Plano", "Laredo"), ("Oakland", "Miami", "Seattle", "Detroit", "Boulder", "Savannah")))
mine = [n for n in graph.nodes.where(kind="feature", position=here) if n.layer < 2]
texas = [n for n in mine if sum((n.layer, n.feature) in c for c in texan) >= 2]
texas = [n for n in texas if sum((n.layer, n.feature) in c for c in other) <= 1]
from gemma_circuits.ui import saving
def snapshot():
    return saving.snapshot(view)
"""
)


class Bench(Shown):
    """The workbench as a user sees it."""

    def __init__(self, notebook, cell=1):
        super().__init__(notebook)
        self.output = notebook.output(cell)
        self.canvas = self.output.locator(".gc-stage canvas")
        self.panel = self.output.locator(".gc-interventions")

    def open_panel(self):
        self.output.get_by_role("tab", name="Interventions").click()
        expect(self.panel).to_be_visible()

    def change(self, kind, target=None, mode=None, tokens=0, prompt=None):
        panel = self.panel
        panel.get_by_label("How to change it").select_option(kind)
        panel.get_by_label("What to change").select_option(target or "selection")
        panel.get_by_label("Tokens to write").fill(str(tokens))
        if mode:
            panel.get_by_label("What stays frozen").select_option(mode)
        if prompt:
            panel.get_by_label("Prompt to patch from").fill(prompt)

    def run(self, **change):
        before = self.notebook.kernel("len(view.history)")
        self.change(**change)
        self.panel.get_by_role("button", name="Run").click()
        self.notebook.until(f"len(view.history) == {before + 1} and not view.laboratory.running", 60)
        expect(self.panel.locator(".gc-history li")).to_have_count(before + 1)
        title = self.notebook.kernel("view.history[-1].title")
        expect(self.panel.locator(".gc-outcome strong").first).to_have_text(title)

    def told(self, side):
        """Tokens and shares of a list: 0 before, 1 after."""
        rows = self.panel.locator(".gc-sides > div").nth(side).locator("tr")
        return [(row.locator("th").text_content(), row.locator("td").last.inner_text()) for row in rows.all()]


@pytest.fixture(scope="module")
def notebook(open_notebook):
    return open_notebook([WORKBENCH, "view", "gmc.show(graph)"], height=2600)


@pytest.fixture
def bench(notebook):
    dialogs = []
    notebook.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    notebook.execute("reset(); view.laboratory.restore(-1); view.history = ()")
    bench = Bench(notebook)
    bench.open_panel()
    bench.ready()
    yield bench
    assert not dialogs


def test_ablating_texas_makes_austin_fall(bench, notebook):
    notebook.execute("graph.group('Texas', texas)")
    node = notebook.kernel("[n.index for n in texas if n.index in circuit.nodes.index.tolist()][0]")
    bench.click(node)
    notebook.until(f"[n.index for n in view.selected] == [{node}]")
    bench.run(kind="ablate", target="group Texas", mode="open", tokens=2)
    before, after = dict(bench.told(0)), dict(bench.told(1))
    assert next(iter(before)) == " Austin"
    austin = float(before[" Austin"].rstrip("%")), float(after.get(" Austin", "0%").rstrip("%"))
    assert austin[1] < austin[0] / 2
    wanted = notebook.kernel("view.history[-1].outcome.after")
    assert list(after) == [token for token, _ in wanted]
    texts = bench.panel.locator(".gc-texts b")
    expect(texts).to_have_text(notebook.kernel("view.history[-1].outcome.texts"))


def test_patching_california_brings_sacramento(bench, notebook):
    notebook.execute("graph.group('Texas', mine)")
    bench.run(kind="patch", target="group Texas", prompt=OAKLAND)
    assert bench.told(1)[0][0] == " Sacramento"


def test_predicted_and_measured_are_shown_as_python_computes_them(bench, notebook):
    notebook.execute("view.selected = texas[:3]")
    bench.run(kind="steer", mode="direct")
    wanted = notebook.kernel("[[e.predicted, e.measured] for e in view.history[-1].outcome.nodes]")
    rows = bench.panel.locator(".gc-effects tbody tr")
    expect(rows).to_have_count(3)
    for row, numbers in zip(rows.all(), wanted):
        shown = [float(cell.inner_text()) for cell in row.locator(".gc-effect").all()]
        assert shown == pytest.approx(numbers, rel=6e-3, abs=1e-6)
        assert numbers[0] == pytest.approx(numbers[1], abs=2e-4)


def test_changes_lie_over_graph_and_heatmap_until_taken_away(bench, notebook):
    notebook.execute("view.selected = mine")
    bench.run(kind="ablate")
    title = notebook.kernel("view.history[0].title")
    assert notebook.kernel("session.overlay['name']") == title
    entry = bench.panel.locator(".gc-history button[aria-pressed]").first
    expect(entry).to_have_attribute("aria-pressed", "true")
    entry.click()
    notebook.until("session.overlay == {} and view.laboratory.current == -1")
    notebook.execute("view.selected = []")
    entry.click()
    notebook.until("view.laboratory.current == 0 and len(view.selected) == len(mine)")


def test_a_long_run_can_be_cancelled_and_the_kernel_goes_on(bench, notebook):
    notebook.execute("view.selected = texas[:2]")
    notebook.execute(
        "import time; slow = model.module.model.layers[0].register_forward_pre_hook(lambda *_: time.sleep(3))"
    )
    bench.change(kind="ablate")
    bench.panel.get_by_role("button", name="Run").click()
    notebook.until("view.laboratory.running")
    start = time.monotonic()
    assert notebook.kernel("1 + 1") == 2
    assert time.monotonic() - start < 2.5
    bench.panel.get_by_role("button", name="Cancel").click()
    notebook.until("not view.laboratory.running")
    assert notebook.kernel("len(view.history)") == 0
    notebook.execute("slow.remove()")
    bench.run(kind="ablate")


def test_copied_code_gives_the_same_numbers_in_a_fresh_kernel(bench, notebook):
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook.execute("graph.group('Texas', texas)")
    bench.run(kind="ablate", target="group Texas", mode="open")
    bench.panel.get_by_role("button", name="copy code").click()
    expect(bench.panel.get_by_role("button", name="copied")).to_be_visible()
    code = notebook.page.evaluate("navigator.clipboard.readText()")
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(effect.kl_divergence())"], capture_output=True, text=True, check=True
    ).stdout
    assert float(printed.split()[-1]) == pytest.approx(notebook.kernel("view.history[-1].outcome.kl"), rel=1e-4)


def test_two_views_stay_in_step(bench, notebook):
    node = notebook.kernel("features[0]")
    bench.click(node)
    notebook.until(f"[n.index for n in view.selected] == [{node}]")
    other = notebook.output(2)
    name = notebook.kernel(f"'L%d #%d' % (graph.nodes[{node}].layer, graph.nodes[{node}].feature)")
    expect(other.locator(".gc-card header strong")).to_have_text(name)
    notebook.execute(f"graph.group('Both', [{node}])")
    expect(other.locator(".gc-box", has_text="Both")).to_be_attached()


def test_hostile_labels_are_inert(bench, notebook):
    notebook.execute(f"graph.annotations.update(labels=dict(enumerate({HOSTILE!r})), pinned=range(4))")
    notebook.execute(f"graph.group({HOSTILE[0]!r}, [0, 1]); view.selected = [0, 1]")
    bench.run(kind="ablate", target=f"group {HOSTILE[0]}")
    assert bench.output.locator("img, script, svg[onload]").count() == 0
    expect(bench.panel.locator(".gc-outcome strong")).to_have_text(f"ablate {HOSTILE[0]}")


def test_the_page_works_from_disk_without_a_network(bench, notebook, chromium, tmp_path):
    path = tmp_path / "circuit.html"
    notebook.execute(f"graph.annotations.update(labels=dict(enumerate({HOSTILE!r})), pinned=[features[0]])")
    notebook.execute("graph.group('Texas', texas); view.selected = texas[:2]")
    bench.run(kind="ablate")
    notebook.execute(f"view.to_html({str(path)!r})")
    assert path.stat().st_size < 2e6
    context = chromium.new_context(offline=True, viewport={"width": 1300, "height": 1500})
    page, wrong, asked = context.new_page(), [], []
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    expect(page.locator(".gc-stage[data-state=ready]")).to_be_visible(timeout=20_000)
    expect(page.locator(".gc-box", has_text="Texas")).to_be_visible()
    page.get_by_role("tab", name="Interventions").click()
    title = notebook.kernel("view.history[-1].title")
    expect(page.locator(".gc-history")).to_contain_text(title)
    page.get_by_role("tab", name="Feature").click()
    x0, y0, kx, ky = map(float, page.locator(".gc-stage").get_attribute("data-view").split())
    x, y = notebook.kernel("place(features[0])")
    box = page.locator(".gc-stage canvas").bounding_box()
    page.mouse.click(box["x"] + x0 + kx * x, box["y"] + y0 - ky * y)
    name = notebook.kernel("'L%d #%d' % (graph.nodes[features[0]].layer, graph.nodes[features[0]].feature)")
    expect(page.locator(".gc-card header strong")).to_have_text(name)
    expect(page.locator(".gc-card")).to_contain_text("Promotes")
    page.locator(".gc-workbench > .gc-bar").get_by_role("button", name="Undo").click()
    expect(page.locator(".gc-card header strong")).not_to_have_text(name)
    assert wrong == [] and outside(asked, 0) == [path.as_uri()]
    context.close()


def test_the_svg_is_what_is_shown(bench, notebook, tmp_path):
    path = tmp_path / "circuit.svg"
    notebook.execute("graph.annotations.update(labels={i: '<b>&' for i in features[:9]})")
    bench.ready()
    notebook.execute(f"view.to_svg({str(path)!r})")
    notebook.until(f"__import__('pathlib').Path({str(path)!r}).is_file()")
    drawing = ElementTree.parse(path).getroot()
    name = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in drawing.iter(f"{name}text")]
    assert {"Dallas", "capital", "L5", "<b>&"} <= set(texts)
    assert not list(drawing.iter(f"{name}image"))
    with bench.page.expect_download() as saved:
        bench.output.locator(".gc-circuit").get_by_role("button", name="Save what is shown as SVG").click()
    assert ElementTree.parse(saved.value.path()).getroot().get("width") == drawing.get("width")
    with bench.page.expect_download() as saved:
        bench.output.locator(".gc-heatmap").get_by_role("button", name="Save what is shown as SVG").click()
    assert "Layer 0" in saved.value.path().read_text("utf-8")
    box = bench.canvas.bounding_box()
    assert float(drawing.get("width")) == pytest.approx(box["width"], abs=1)


def test_a_file_brings_all_back_after_a_restart(bench, notebook, tmp_path):
    path = str(tmp_path / "dallas.gmc")
    notebook.execute("graph.group('Texas', texas); view.pinned = features[:2]; session.node_threshold = 0.7")
    notebook.execute("graph.annotations.update(labels={features[0]: 'é'}, positions={'Texas': (1, 2)})")
    notebook.execute("view.selected = texas[:2]")
    bench.run(kind="ablate", tokens=1)
    saved = notebook.kernel("snapshot()")
    notebook.execute(f"view.save({path!r})")
    notebook.restart()
    notebook.execute(f"import gemma_circuits as gmc; from gemma_circuits.ui import saving; again = gmc.open({path!r})")
    assert notebook.kernel("saving.snapshot(again)") == saved
    assert len(json.loads(json.dumps(saved))["experiments"]) == 1


def test_unsaved_work_of_a_killed_kernel_is_brought_back(lab, open_notebook):
    notebook = open_notebook([WORKBENCH, "view"], height=2000)
    bench = Bench(notebook)
    bench.open_panel()
    notebook.execute("graph.group('Texas', texas); view.pinned = features[:2]; view.selected = texas[:2]")
    bench.run(kind="ablate")
    saved = notebook.kernel("snapshot()")
    time.sleep(2.5)  # the copy is written a second after the last change
    notebook.kill()
    notebook.run()
    bench = Bench(notebook)
    assert notebook.kernel("view.history") == []
    bench.output.get_by_role("button", name="Bring it back").click()
    notebook.until("len(view.history) == 1")
    assert notebook.kernel("snapshot()") == saved
    expect(bench.output.locator(".gc-box", has_text="Texas")).to_be_visible()
    expect(bench.output.get_by_role("button", name="Bring it back")).to_be_hidden()
