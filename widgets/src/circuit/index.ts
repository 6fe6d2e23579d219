import "./style.css";
import { h } from "../shared/dom";
import { shortcuts } from "../shared/keys";
import { download } from "../shared/svg";
import { type View, widget } from "../shared/widget";
import { Actions } from "./actions";
import { legend } from "./legend";
import { pane } from "./pane";
import { panel } from "./panel";
import { paths } from "./paths";
import { Stage } from "./stage";
import { tabs } from "./tabs";
import { toolbar } from "./toolbar";

export default widget("circuit", "Circuit graph", (view: View<{ height: number }>) => {
  const { session, root, signal, model } = view;
  const live = h("div", { class: "gc-hidden", "aria-live": "polite" });
  const say = (text: string) => {
    live.textContent = text;
  };
  const actions = new Actions(session, say);
  const bar = toolbar(session, signal, () => stage.refresh(), {
    fit: () => stage.fit(),
    panel: () => {
      side.hidden = !side.hidden;
    },
    save: () => download("circuit.svg", stage.svg(), "image/svg+xml"),
    help: () => keys.help(),
  });
  const plain = view as unknown as View<object>;
  const stage: Stage = new Stage(plain, {
    matches: () => bar.filter.filter().matches,
    errors: bar.errors,
    leastShare: bar.leastShare,
    brushes: bar.brushes,
    clicked: (node, how) => {
      if (how === "pin") actions.pin([node]);
      else if (how === "extend") actions.extend([node]);
      else actions.select([node]);
    },
    clickedNothing: () => actions.select([]),
    brushed: (nodes) => actions.add(nodes),
    say,
  });
  const show = (node: number) => stage.look(stage.scene.place[node]);
  const below = pane(plain, actions, () => stage.scene, show);
  const node = panel(plain, actions, () => stage.scene, show);
  const find = paths(plain, actions, (nodes) => stage.route(nodes));
  const side = tabs("Details", { Node: node.element, Paths: find.element });
  const body = h("div", { class: "gc-body" }, stage.element, side);
  const resize = () => {
    body.style.setProperty("--gc-height", `${model.get("height")}px`);
  };
  model.on("change:height", resize);
  signal.addEventListener("abort", () => model.off("change:height", resize));
  resize();
  // Python asks for the picture as well.
  const asked = (message: { kind?: string }) => {
    if (message.kind === "svg") model.send({ kind: "svg", text: stage.svg() });
  };
  model.on("msg:custom", asked);
  signal.addEventListener("abort", () => model.off("msg:custom", asked));

  /** The nodes that a key acts on: those selected, else the one that the keyboard is at. */
  const meant = () =>
    actions.selected.length ? actions.selected : stage.focus >= 0 ? [stage.scene.node[stage.focus]] : [];
  const keys = shortcuts(root, signal, [
    { keys: "ArrowLeft", does: "node to the left, in the same layer", run: () => stage.walk("left") },
    { keys: "ArrowRight", does: "node to the right", run: () => stage.walk("right") },
    { keys: "ArrowUp", does: "along the strongest edge upwards", run: () => stage.walk("up") },
    { keys: "ArrowDown", does: "along the strongest edge downwards", run: () => stage.walk("down") },
    {
      keys: "Enter",
      does: "select the node",
      run: () => stage.focus >= 0 && actions.select([stage.scene.node[stage.focus]]),
    },
    {
      keys: "Shift+Enter",
      does: "add it to the selection, or take it out",
      run: () => stage.focus >= 0 && actions.extend([stage.scene.node[stage.focus]]),
    },
    { keys: "p", does: "pin or unpin", run: () => actions.pin(meant()) },
    {
      keys: "g",
      does: "group the selected nodes",
      run: () => {
        if (actions.group(actions.selected) !== undefined) below.rename();
      },
    },
    { keys: "u", does: "take the selected groups apart", run: () => actions.ungroup(actions.selected) },
    {
      keys: "F2",
      does: "rename the selected box, or label the node",
      run: () => {
        if (below.rename()) return;
        side.hidden = false;
        node.label();
      },
    },
    { keys: "Ctrl+z", does: "undo", run: session.undo },
    { keys: "Ctrl+Shift+z Ctrl+y", does: "redo", run: session.redo },
    { keys: "/", does: "go to the filter", run: () => bar.filter.input.focus() },
    { keys: "b", does: "draw a rectangle to select", run: () => bar.brush.click() },
    { keys: "+ =", does: "zoom in", run: () => stage.zoom(1.3) },
    { keys: "-", does: "zoom out", run: () => stage.zoom(1 / 1.3) },
    { keys: "0", does: "fit", run: () => stage.fit() },
    {
      keys: "Escape",
      does: "clear path, focus and selection",
      run: () => {
        if (document.activeElement !== root) root.focus({ preventScroll: true });
        find.clear();
        stage.clear();
        actions.select([]);
      },
    },
  ]);
  bar.status.append(legend(plain));
  root.append(bar.element, bar.status, body, below.element, live);
});
