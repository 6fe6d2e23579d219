// Asks for the strongest paths from some nodes to others, lists them, and shows one in the graph.
import { h } from "../shared/dom";
import { show } from "../shared/session";
import type { View } from "../shared/widget";
import type { Actions } from "./actions";

export interface Path {
  nodes: number[];
  /** Part of all influence from the sources to the targets. */
  share: number;
  /** 1 where the source raises the target along it, -1 where it lowers it. */
  sign: number;
}
interface Answer {
  paths: Path[];
  /** What the listed paths carry together. */
  covered: number;
}

const PATIENCE = 30_000;

/** `route` shows a path in the graph, or none. */
export function paths(
  view: View<object>,
  actions: Actions,
  route: (nodes: number[] | undefined) => void,
): { element: HTMLElement; clear(): void } {
  const { session, signal } = view;
  const from = ends(view, actions, "From", "token");
  const to = ends(view, actions, "To", "logit");
  const count = h("input", {
    type: "number",
    class: "gc-short",
    min: 1,
    max: 100,
    value: 10,
    "aria-label": "How many paths",
  });
  const list = h("div", { class: "gc-paths", role: "status" });
  let asked = new AbortController();

  async function find(): Promise<void> {
    asked.abort();
    asked = new AbortController();
    const own = asked.signal;
    route(undefined);
    list.replaceChildren(h("p", { class: "gc-muted" }, "…"));
    const message = { from: from.nodes(), to: to.nodes(), count: Math.max(1, Number(count.value) || 10) };
    try {
      const patience = AbortSignal.any([signal, own, AbortSignal.timeout(PATIENCE)]);
      const [answer] = await session.ask<Answer>("paths", message, patience);
      if (!own.aborted) tell(answer);
    } catch (error) {
      if (own.aborted || signal.aborted) return;
      const late = error instanceof DOMException && error.name === "TimeoutError";
      list.replaceChildren(
        h("p", { class: "gc-problem" }, late ? "No answer: this needs a running kernel." : (error as Error).message),
      );
    }
  }

  function tell({ paths: found, covered }: Answer): void {
    const told = found.length
      ? `${found.length === 1 ? "One path covers" : `${found.length} paths cover`} ${(100 * covered).toPrecision(3)}%`
      : "No path in the pruned graph.";
    const lines = found.map(({ nodes, share, sign }) => {
      const chain = nodes.map((node) => session.title(node)).join(" → ");
      const button = h(
        "button",
        {
          type: "button",
          class: "gc-path",
          "aria-pressed": "false",
          title: chain,
          onclick: () => {
            const chosen = button.getAttribute("aria-pressed") !== "true";
            for (const other of lines) other.setAttribute("aria-pressed", "false");
            button.setAttribute("aria-pressed", String(chosen));
            route(chosen ? nodes : undefined);
          },
        },
        h("span", { class: "gc-number" }, `${sign < 0 ? "⊣" : "→"} ${(100 * share).toPrecision(3)}%`),
        h("span", { class: "gc-name" }, chain),
      );
      return button;
    });
    list.replaceChildren(h("p", { class: "gc-muted" }, told), ...lines);
  }

  session.on(["drawn"], () => {
    asked.abort();
    list.replaceChildren();
    route(undefined);
  });
  return {
    element: h(
      "div",
      { class: "gc-find" },
      from.element,
      to.element,
      h(
        "div",
        { class: "gc-line" },
        h("label", {}, "Strongest ", count),
        h("button", { type: "button", onclick: () => void find() }, "Find paths"),
      ),
      list,
    ),
    clear: () => {
      for (const line of list.querySelectorAll("button")) line.setAttribute("aria-pressed", "false");
      route(undefined);
    },
  };
}

/** One end of the paths: any token or logit, one of them, or nodes that were selected. */
function ends(
  { session }: View<object>,
  actions: Actions,
  label: string,
  kind: "token" | "logit",
): { element: HTMLElement; nodes(): string | number[] } {
  const all = [...session.nodes.kind.keys()].filter((node) => session.kind(node) === kind);
  const name = (node: number) =>
    kind === "token" ? `${show(session.token(node))} (${session.nodes.position[node]})` : session.name(node);
  const hint = `${label}: set from the selection`;
  let picked: number[] = [];
  const own = h("option", { value: "picked", hidden: true });
  const select = h(
    "select",
    { "aria-label": label },
    h("option", { value: "any" }, `any ${kind}`),
    ...all.map((node) => h("option", { value: node }, name(node))),
    own,
  );
  const take = () => {
    if (!actions.selected.length) return;
    picked = [...actions.selected];
    own.hidden = false;
    own.textContent = picked.length === 1 ? session.title(picked[0]) : `${picked.length} nodes`;
    select.value = "picked";
  };
  return {
    element: h(
      "div",
      { class: "gc-line" },
      h("span", { class: "gc-end gc-muted" }, label),
      select,
      h("button", { type: "button", "aria-label": hint, title: hint, onclick: take }, "selection"),
    ),
    nodes: () => (select.value === "any" ? kind : select.value === "picked" ? picked : [Number(select.value)]),
  };
}
