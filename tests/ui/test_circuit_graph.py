"""The circuit graph in a real JupyterLab: every gesture, and its numbers against Python's."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

TRACE = """
import numpy as np
import gemma_circuits as gmc
from gemma_circuits import ui
model = gmc.load()
graph = gmc.attribute(model, "The capital of the state containing Dallas is", progress=False)
circuit = graph.prune()
view = ui.CircuitGraph(circuit)
session = view.session
adjacency, incoming = graph.adjacency, graph.adjacency.abs().sum(1)
def place(node):
    kept = np.frombuffer(session.drawn["kept"], np.int32).tolist()
    return [float(np.frombuffer(session.drawn[axis], np.float32)[kept.index(node)]) for axis in "xy"]
def reset():
    session.node_threshold, session.edge_threshold, session.filter = 0.8, 0.98, ""
    view.selected = ()
    graph.annotations.update(pinned=[], supernodes=[], labels={}, positions={})
def strongest(node):
    row = adjacency[node] / incoming[node]
    return [[i, float(adjacency[node, i]), float(row[i])] for i in row.abs().argsort(descending=True)[:3].tolist()]
by_influence = [n.index for n in circuit.nodes[circuit.influence[circuit.nodes.index].argsort(descending=True)]]
features = [i for i in by_influence if graph.nodes[i].kind == "feature"]
"""
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</div><script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "&lt;b&gt;\u202e",
]


class Shown:
    """The widget as a user sees it."""

    def __init__(self, notebook):
        self.notebook, self.page = notebook, notebook.page
        self.output = notebook.output(1)
        self.canvas = self.output.locator(".gc-stage canvas")
        self.ready()

    def ready(self):
        expect(self.output.locator(".gc-stage[data-state=ready]")).to_be_visible(timeout=20_000)

    def numbers(self):
        return [float(part) for part in self.output.locator(".gc-stage").get_attribute("data-view").split()]

    def at(self, node):
        """Where a node lies on the page."""
        x0, y0, kx, ky = self.numbers()
        x, y = self.notebook.kernel(f"place({node})")
        box = self.canvas.bounding_box()
        return box["x"] + x0 + kx * x, box["y"] + y0 - ky * y

    def click(self, node, *keys):
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self.at(node))
        for key in keys:
            self.page.keyboard.up(key)

    def ink(self, node):
        """Red, green and blue of the canvas at a node's middle."""
        x, y = self.at(node)
        box = self.canvas.bounding_box()
        return self.canvas.evaluate(
            """(canvas, [x, y]) => {
                const ratio = canvas.width / canvas.clientWidth;
                return [...canvas.getContext('2d').getImageData(x * ratio, y * ratio, 1, 1).data];
            }""",
            [x - box["x"], y - box["y"]],
        )

    def box(self, text):
        return self.output.locator(".gc-box", has_text=text).first

    def focus(self):
        self.output.locator(".gc-circuit").focus()

    def pause(self):
        """Until what comes next is a step of its own in the history."""
        self.page.wait_for_timeout(1100)


@pytest.fixture(scope="module")
def notebook(open_notebook):
    return open_notebook([TRACE, "view"], height=1400)


@pytest.fixture
def shown(notebook):
    dialogs = []
    notebook.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    notebook.execute("reset()")
    shown = Shown(notebook)
    shown.focus()
    for key in ("Escape", "0"):
        notebook.page.keyboard.press(key)
    notebook.page.mouse.move(5, 5)
    shown.ready()
    yield shown
    assert not dialogs


def read(number):
    """A number that the page wrote, with a true minus."""
    return float(number.replace("−", "-"))


def told(share):
    """As the page writes a share."""
    size = f"{abs(100 * share):#.3g}".rstrip(".")
    return f"{'+' if share > 0 else '−'}{size}%"


def test_counts_and_scores_are_pythons_when_the_sliders_move(shown):
    output, notebook = shown.output, shown.notebook
    counts, scores = output.locator(".gc-counts"), output.locator(".gc-scores")
    wanted = "[len(session.circuit.nodes), session.circuit.nodes.counts, len(session.circuit.links().weight)]"
    seen = set()
    shown.page.mouse.click(*shown.at(notebook.kernel("features[0]")))
    notebook.until("len(view.selected) == 1")
    shown.page.keyboard.press("+")
    shown.ready()
    wide = shown.numbers()[2] * notebook.kernel("float(np.frombuffer(session.drawn['columns'], 'f4')[-1])")
    for node, edge in ((0.5, 0.9), (0.9, 0.99)):
        output.get_by_role("spinbutton", name="Share of influence").fill(str(node))
        slider = output.get_by_role("slider", name="Share of the edge scores")
        slider.evaluate("(s, v) => { s.value = v; s.dispatchEvent(new Event('input')); }", str(edge))
        notebook.until(f"(session.node_threshold, session.edge_threshold) == ({node}, {edge})")
        nodes, kinds, edges = notebook.kernel(wanted)
        assert nodes == notebook.kernel(f"len(graph.prune({node}, {edge}).nodes)")
        expect(counts).to_have_text(f"{nodes} nodes: {kinds}; {edges:,} edges")
        replacement, completeness = notebook.kernel("list(session.circuit.scores())")
        expect(scores).to_have_text(f"replacement {replacement:.3f}, completeness {completeness:.3f}")
        seen.add(nodes)
    assert len(seen) == 2
    shown.ready()
    after = shown.numbers()[2] * notebook.kernel("float(np.frombuffer(session.drawn['columns'], 'f4')[-1])")
    assert after == pytest.approx(wide, rel=1e-2)  # as far zoomed as before
    assert notebook.kernel("view.selected[0].index == features[0]")


def test_hovering_tells_what_a_node_is_and_stays_in_the_page(shown):
    node = shown.notebook.kernel("features[0]")
    shown.page.mouse.move(*shown.at(node))
    tip = shown.output.locator(".gc-tip")
    expect(tip).to_be_visible()
    kind, layer, token, feature, activation, influence = shown.notebook.kernel(
        f"(lambda n: [n.kind, n.layer, graph.tokens[n.position].strip(), n.feature, n.activation, "
        f"float(circuit.influence[{node}])])(graph.nodes[{node}])"
    )
    text = tip.text_content()
    for part in (kind, f"layer{layer}", f"token{token}", f"feature{feature}"):
        assert part in text
    assert f"activation{activation:.3g}" in text
    assert f"influence{influence:.3g}" in text
    assert shown.notebook.kernel("len(view.selected)") == 0
    shown.page.mouse.move(5, 5)
    expect(tip).to_be_hidden()


def test_a_click_lists_the_strongest_edges_of_the_whole_graph(shown):
    node = shown.notebook.kernel("features[0]")
    shown.click(node)
    shown.notebook.until(f"[n.index for n in view.selected] == [{node}]")
    rows = shown.output.get_by_role("region", name="Inputs").locator("button")
    wanted = shown.notebook.kernel(f"strongest({node})")
    expect(rows.first).to_be_visible()
    for row, (_, weight, share) in zip(rows.all(), wanted):
        assert row.locator(".gc-number").all_text_contents()[1] == told(share)
        assert read(row.locator(".gc-number").first.text_content()) == pytest.approx(weight, rel=6e-3)
    rows.first.click()
    shown.notebook.until(f"[n.index for n in view.selected] == [{wanted[0][0]}]")


def test_the_selection_is_extended_and_brushed(shown):
    first, second = shown.notebook.kernel("features[:2]")
    shown.click(first)
    shown.click(second, "Shift")
    shown.notebook.until(f"[n.index for n in view.selected] == [{first}, {second}]")
    shown.click(first, "Shift")
    shown.notebook.until(f"[n.index for n in view.selected] == [{second}]")
    shown.page.keyboard.press("Escape")
    logit = shown.notebook.kernel("len(graph.nodes) - 1")
    x, y = shown.at(logit)
    shown.page.keyboard.down("Shift")
    shown.page.mouse.move(x - 4, y - 14)
    shown.page.mouse.down()
    shown.page.mouse.move(x - 30, y + 30)
    shown.page.mouse.move(x + 100, y + shown.numbers()[3] * 1.5)
    shown.page.mouse.up()
    shown.page.keyboard.up("Shift")
    left = shown.notebook.kernel(f"place({logit})")[0] - 4 / shown.numbers()[2]
    inside = f"n.layer >= graph.n_layers - 1 and place(n.index)[0] >= {left}"
    shown.notebook.until(
        f"sorted(n.index for n in view.selected) == sorted(n.index for n in circuit.nodes if {inside})"
    )
    assert shown.notebook.kernel("len(view.selected)") > 1


def test_a_filter_dims_what_does_not_match(shown):
    low, high = shown.notebook.kernel(
        "[next(i for i in features if graph.nodes[i].layer < 2), next(i for i in features if graph.nodes[i].layer > 3)]"
    )
    before = shown.ink(low)
    shown.page.keyboard.press("/")
    shown.page.keyboard.type("layer>=3")
    shown.notebook.until("session.filter == 'layer>=3'")
    shown.ready()
    assert shown.ink(high)[:3] == before[:3]
    assert min(shown.ink(low)[:3]) > max(before[:3]) + 40


def test_error_nodes_can_be_hidden(shown):
    error = shown.notebook.kernel("next(n.index for n in circuit.nodes if n.kind == 'error')")
    shown.page.mouse.move(*shown.at(error))
    tip = shown.output.locator(".gc-tip")
    expect(tip).to_contain_text("error")
    at = shown.at(error)
    shown.output.get_by_role("checkbox", name="Errors").uncheck()
    shown.page.mouse.move(at[0] + 1, at[1])
    expect(tip).to_be_hidden()
    shown.output.get_by_role("checkbox", name="Errors").check()


def test_pin_group_rename_drag_undo_and_redo(shown):
    notebook, page = shown.notebook, shown.page
    chosen = notebook.kernel("features[:3]")
    for node in chosen:
        shown.click(node, "Control")
    notebook.until(f"[n.index for n in view.pinned] == {chosen}")
    expect(shown.output.locator(".gc-box")).to_have_count(3)
    names = [shown.output.locator(".gc-box-title").nth(i).text_content() for i in range(3)]
    shown.box(names[0]).click()
    shown.box(names[1]).click(modifiers=["Shift"])
    shown.pause()
    page.keyboard.press("g")
    page.keyboard.type("Texas")
    page.keyboard.press("Enter")
    notebook.until(f"[(s.name, [n.index for n in s.nodes]) for s in view.supernodes] == [('Texas', {chosen[:2]})]")
    expect(shown.output.locator(".gc-box")).to_have_count(2)
    shown.pause()
    box = shown.box("Texas")
    before = box.bounding_box()
    box.hover()
    page.mouse.down()
    page.mouse.move(before["x"] - 60, before["y"] + 40, steps=4)
    page.mouse.up()
    notebook.until("'Texas' in dict(graph.annotations.notes.positions)")
    dragged = box.bounding_box()
    assert abs(dragged["x"] - before["x"]) > 30
    page.keyboard.press("Control+z")
    notebook.until("'Texas' not in dict(graph.annotations.notes.positions)")
    assert box.bounding_box()["x"] == pytest.approx(before["x"], abs=1)
    page.keyboard.press("Control+Shift+z")
    notebook.until("'Texas' in dict(graph.annotations.notes.positions)")
    assert box.bounding_box()["x"] == pytest.approx(dragged["x"], abs=1)
    for _ in range(2):
        page.keyboard.press("Control+z")
    notebook.until("not view.supernodes and len(view.pinned) == 3")
    expect(shown.output.locator(".gc-box")).to_have_count(3)
    page.keyboard.press("Control+y")
    notebook.until("[s.name for s in view.supernodes] == ['Texas']")
    shown.box("Texas").press("u")
    notebook.until("not view.supernodes")


def test_edges_between_boxes_are_sums_of_the_adjacency(shown):
    notebook = shown.notebook
    notebook.execute(
        "sources = [i for i in features if graph.nodes[i].layer <= 1][:4]\n"
        "targets = [i for i in features if graph.nodes[i].layer >= 4][:3]\n"
        "view.supernodes = {'low': sources, 'high': targets}"
    )
    share, weight = notebook.kernel(
        "[float(adjacency[targets][:, sources].sum() / incoming[targets].sum()), "
        "float(adjacency[targets][:, sources].sum())]"
    )
    line = shown.output.locator(".gc-wires title", has_text="low → high")
    expect(line).to_contain_text(told(share), use_inner_text=False)
    found = re.search(r"weight (\S+)\)", line.text_content())
    assert found
    assert read(found[1]) == pytest.approx(weight, rel=6e-3)


def test_paths_are_pythons(shown):
    shown.output.get_by_role("tab", name="Paths").click()
    shown.output.get_by_role("spinbutton", name="How many paths").fill("4")
    shown.output.get_by_role("button", name="Find paths").click()
    wanted = shown.notebook.kernel(
        "[[p.share, len(p.nodes), p.sign] for p in session.circuit.paths('token', 'logit', 4)]"
    )
    lines = shown.output.locator(".gc-path")
    expect(lines).to_have_count(4)
    for line, (share, count, sign) in zip(lines.all(), wanted):
        arrow, number = line.locator(".gc-number").text_content().split()
        assert arrow == ("→" if sign > 0 else "⊣")
        assert float(number.rstrip("%")) == pytest.approx(100 * share, rel=6e-3)
        assert line.locator(".gc-name").text_content().count(" → ") == count - 1
    covered = shown.output.locator(".gc-paths p").text_content()
    assert float(covered.split()[-1].rstrip("%")) == pytest.approx(100 * sum(p[0] for p in wanted), rel=6e-3)
    lines.nth(1).click()
    expect(lines.nth(1)).to_have_attribute("aria-pressed", "true")
    node = shown.notebook.kernel("features[0]")
    shown.notebook.execute(f"view.selected = [{node}]")
    shown.output.get_by_role("button", name="From: set from the selection").click()
    shown.output.get_by_role("button", name="Find paths").click()
    share = shown.notebook.kernel(f"session.circuit.paths({node}, 'logit', 4)[0].share")
    expect(lines.first.locator(".gc-number")).to_contain_text(f"{100 * share:#.3g}".rstrip("."))
    shown.output.get_by_role("tab", name="Node").click()


def test_the_keyboard_walks_along_the_strongest_edges(shown):
    press, live = shown.page.keyboard.press, shown.output.locator("[aria-live=polite].gc-hidden")
    shown.focus()
    press("ArrowUp")
    expect(live).to_contain_text("Austin")
    press("ArrowDown")
    press("Enter")
    below = shown.notebook.kernel(
        "(lambda links, logit: int(links.source[links.target == logit]"
        "[links.weight[links.target == logit].abs().argmax()]))(circuit.links(), len(graph.nodes) - 1)"
    )
    shown.notebook.until(f"[n.index for n in view.selected] == [{below}]")
    expect(live).to_contain_text("token is")
    press("p")
    shown.notebook.until(f"[n.index for n in view.pinned] == [{below}]")
    press("F2")
    shown.page.keyboard.type("says so")
    shown.page.keyboard.press("Enter")
    shown.notebook.until(f"dict(graph.annotations.notes.labels).get(graph.nodes[{below}]) == 'says so'")
    shown.focus()
    press("?")
    expect(shown.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    press("Escape")
    expect(shown.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
    assert shown.notebook.page.locator(".jp-CodeCell").count() == 2  # the notebook took none of the keys


def test_python_sets_what_is_selected(shown):
    node = shown.notebook.kernel("features[1]")
    shown.notebook.execute(f"view.selected = [{node}]")
    title = shown.notebook.kernel(f"f'L{{graph.nodes[{node}].layer}} #{{graph.nodes[{node}].feature}}'")
    expect(shown.output.locator(".gc-node h3")).to_contain_text(title)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_not_run(shown, text):
    shown.notebook.execute(
        f"text = {text!r}\n"
        "view.selected = [features[0]]\n"
        "graph.annotations.update(labels={features[0]: text, features[1]: text}, pinned=features[:4], "
        "supernodes={text: features[2:4]})"
    )
    expect(shown.output.locator(".gc-box-title", has_text=text)).to_have_count(3)
    expect(shown.output.locator(".gc-node h3")).to_contain_text(text)
    shown.page.mouse.move(*shown.at(shown.notebook.kernel("features[0]")))
    expect(shown.output.locator(".gc-tip strong")).to_have_text(text)
    assert shown.output.locator("img, script, .gc-circuit svg svg, b").count() == 0


def test_only_ctrl_and_wheel_zooms_and_a_drag_pans(shown):
    page = shown.page
    x, y = shown.at(shown.notebook.kernel("features[0]"))
    before = shown.numbers()
    page.mouse.move(x - 40, y - 20)
    page.mouse.wheel(0, 40)
    page.wait_for_timeout(150)
    assert shown.numbers()[2] == before[2]
    x, y = shown.at(shown.notebook.kernel("features[0]"))
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -30)
    page.keyboard.up("Control")
    shown.ready()
    page.wait_for_timeout(300)
    assert shown.numbers()[2] > 1.2 * before[2]
    assert shown.at(shown.notebook.kernel("features[0]")) == pytest.approx((x, y), abs=1)
    zoomed = shown.numbers()
    box = shown.canvas.bounding_box()
    start = (box["x"] + 120, box["y"] + 60)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 40, start[1] + 25, steps=3)
    page.mouse.up()
    shown.ready()
    after = shown.numbers()
    assert [after[0] - zoomed[0], after[1] - zoomed[1]] == pytest.approx([40, 25], abs=1)
    page.mouse.dblclick(*start)
    shown.ready()
    assert shown.numbers()[2] == pytest.approx(before[2])


def test_it_follows_the_theme(shown):
    found = {}
    for dark in (True, False):
        shown.notebook.theme(dark)
        shown.ready()
        token = shown.notebook.kernel("next(n.index for n in circuit.nodes if n.kind == 'token' and n.position == 7)")
        logit = shown.notebook.kernel("len(graph.nodes) - 1")
        paper = shown.output.locator(".gc-circuit").evaluate("(e) => getComputedStyle(e).backgroundColor")
        found[dark] = [
            *(sum(shown.ink(node)[:3]) / 3 for node in (token, logit)),
            sum(int(part) for part in re.findall(r"\d+", paper)[:3]) / 3,
        ]
    assert min(found[True][:2]) > 170 > 70 > found[True][2]
    assert max(found[False][:2]) < 90 < 200 < found[False][2]


def test_fifty_views_leave_nothing_behind(shown):
    page = shown.page
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable")

    def run(times):
        page.evaluate(
            """async (times) => {
                const {content} = jupyterapp.shell.currentWidget;
                for (let i = 0; i < times; i++) {
                    content.activeCellIndex = 1;
                    await jupyterapp.commands.execute('notebook:run-cell');
                    const until = performance.now() + 3000;
                    while (!document.querySelector('.gc-circuit .gc-stage[data-view]') && performance.now() < until)
                        await new Promise((done) => setTimeout(done, 10));
                }
            }""",
            times,
        )
        for _ in range(2):
            client.send("HeapProfiler.collectGarbage")
            page.wait_for_timeout(300)
        metrics = {m["name"]: m["value"] for m in client.send("Performance.getMetrics")["metrics"]}
        return [metrics[name] for name in ("JSEventListeners", "Nodes", "JSHeapUsedSize")]

    before = run(5)
    after = run(50)
    assert page.locator(".gc").count() == 1
    listeners, nodes, heap = (new - old for new, old in zip(after, before))
    assert listeners < 50
    assert nodes < 500
    assert heap < 10e6
