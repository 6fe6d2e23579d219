// Beside the graph: the selected node, and its strongest edges in the whole graph, which the kernel knows.
import { h } from "../shared/dom";
import type { View } from "../shared/widget";
import type { Actions } from "./actions";
import { edgeList, GLYPHS, type Row, where } from "./rows";
import { edgesOf, type Scene } from "./scene";
import { facts } from "./tip";

interface Side {
  nodes: number[];
  weights: number[];
  shares: number[];
  count: number;
}
interface Answer {
  inputs: Side;
  outputs: Side;
}

const PATIENCE = 8000;
const SHOWN = 300;

/** Follows the selection; `scene` gives what is drawn, `show` brings the keyboard to a node. */
export function panel(
  view: View<object>,
  actions: Actions,
  scene: () => Scene,
  show: (node: number) => void,
): { element: HTMLElement; label(): void } {
  const { session, signal } = view;
  const element = h("div", { class: "gc-node" });
  const lists = h("div");
  let label: HTMLInputElement | undefined;
  let shown: number | undefined;
  let asked = new AbortController();

  const isDrawn = (node: number) => scene().place[node] >= 0;
  const press = (node: number) => {
    actions.select([node]);
    show(node);
  };

  function list(answer: Answer, note = ""): void {
    const rows = ({ nodes, weights, shares }: Side): Row[] =>
      nodes.map((node, i) => ({ node, weight: weights[i], share: shares[i] }));
    const side = (title: string, part: Side) =>
      edgeList(session, title, part.count, rows(part), view.theme().dark, isDrawn, press);
    lists.replaceChildren(
      ...(note ? [h("p", { class: "gc-muted" }, note)] : []),
      side("Inputs", answer.inputs),
      side("Outputs", answer.outputs),
    );
  }

  /** What can be told from the drawn edges alone. */
  function fromDrawn(node: number): Answer {
    const place = scene().place[node];
    const { source, target, node: nodes, drawn } = scene();
    const side = (own: Int32Array, other: Int32Array): Side => {
      const edges = place < 0 ? [] : [...edgesOf(scene(), place)].filter((edge) => own[edge] === place);
      const top = edges.slice(0, 50);
      return {
        nodes: top.map((edge) => nodes[other[edge]]),
        weights: top.map((edge) => drawn.weight[edge]),
        shares: top.map((edge) => drawn.share[edge]),
        count: edges.length,
      };
    };
    return { inputs: side(target, source), outputs: side(source, target) };
  }

  async function ask(node: number): Promise<void> {
    asked.abort();
    asked = new AbortController();
    const own = asked.signal;
    const patience = AbortSignal.any([signal, own, AbortSignal.timeout(PATIENCE)]);
    try {
      const [answer] = await session.ask<Answer>("neighbours", node, patience);
      if (!own.aborted) list(answer);
    } catch {
      if (!own.aborted && !signal.aborted) list(fromDrawn(node), "Drawn edges only: the others need a running kernel.");
    }
  }

  function one(node: number): void {
    const place = scene().place[node];
    const pinned = session.get("notes").pinned.includes(node);
    label = h("input", {
      "data-key": "label",
      value: session.label(node),
      placeholder: "no label",
      "aria-label": "Label",
      onchange: () => actions.rename(node, label?.value ?? ""),
    });
    const told = facts(session, node, place < 0 ? undefined : scene().drawn.influence[place]).filter(
      ([name]) => name !== "label",
    );
    element.replaceChildren(
      h("h3", {}, h("span", { "aria-hidden": "true" }, GLYPHS[session.kind(node)], " "), session.title(node)),
      h(
        "div",
        { class: "gc-line" },
        label,
        h(
          "button",
          {
            type: "button",
            "data-key": "pin",
            "aria-pressed": String(pinned),
            title: "Pin (P)",
            onclick: () => actions.pin([node]),
          },
          pinned ? "Unpin" : "Pin",
        ),
      ),
      h("dl", { class: "gc-facts" }, ...told.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      ...(place < 0 ? [h("p", { class: "gc-muted" }, "Pruned away at these thresholds.")] : []),
      lists,
    );
    if (shown !== node) lists.replaceChildren(h("p", { class: "gc-muted" }, "…"));
    shown = node;
    void ask(node);
  }

  function many(nodes: number[]): void {
    shown = undefined;
    asked.abort();
    element.replaceChildren(
      h("h3", {}, actions.box() ?? `${nodes.length} nodes selected`),
      h(
        "div",
        { class: "gc-line" },
        h("button", { type: "button", title: "P", onclick: () => actions.pin(nodes) }, "Pin all"),
        h("button", { type: "button", title: "G", onclick: () => actions.group(nodes) }, "Group"),
      ),
      h(
        "div",
        { class: "gc-rows" },
        ...nodes
          .slice(0, SHOWN)
          .map((node) =>
            h(
              "button",
              { type: "button", class: "gc-row gc-plain", onclick: () => press(node) },
              h("span", { "aria-hidden": "true" }, GLYPHS[session.kind(node)]),
              h(
                "span",
                { class: "gc-name" },
                session.title(node),
                " ",
                h("small", { class: "gc-muted" }, where(session, node)),
              ),
            ),
          ),
      ),
      ...(nodes.length > SHOWN ? [h("p", { class: "gc-muted" }, `and ${nodes.length - SHOWN} more`)] : []),
    );
  }

  function update(): void {
    const nodes = actions.selected;
    const active = document.activeElement;
    const key = active instanceof HTMLElement && element.contains(active) ? active.dataset.key : undefined;
    if (nodes.length === 1) one(nodes[0]);
    else if (nodes.length) many(nodes);
    else {
      shown = undefined;
      asked.abort();
      element.replaceChildren(
        h("p", { class: "gc-muted" }, "Click a node to see its strongest inputs and outputs in the whole graph."),
      );
    }
    if (key) element.querySelector<HTMLElement>(`[data-key="${key}"]`)?.focus();
  }
  session.on(["selected", "notes", "known", "drawn"], update);
  view.onTheme(update);
  update();
  return { element, label: () => label?.select() };
}
