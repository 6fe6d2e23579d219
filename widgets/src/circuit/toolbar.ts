// Thresholds, filter and switches above the graph, and what the pruning comes to.
import { h } from "../shared/dom";
import { type FilterBox, filterBox } from "../shared/filterbox";
import type { Session } from "../shared/session";

export interface Toolbar {
  element: HTMLElement;
  status: HTMLElement;
  filter: FilterBox;
  errors(): boolean;
  leastShare(): number;
  brush: HTMLButtonElement;
  brushes(): boolean;
}

export interface Presses {
  fit(): void;
  save(): void;
  panel(): void;
  help(): void;
}

const STEP = 0.005;

/** `seen` runs when other nodes or edges are to be seen. */
export function toolbar(session: Session, signal: AbortSignal, seen: () => void, presses: Presses): Toolbar {
  const filter = filterBox(session, signal, seen);
  const errors = h("input", { type: "checkbox", checked: true, onchange: seen });
  const least = h("input", {
    type: "number",
    class: "gc-short",
    min: 0,
    max: 100,
    step: 0.5,
    value: 0,
    "aria-label": "Least share of the target's input, in percent",
    oninput: seen,
  });
  const brush = h(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      title: "Select by drawing a rectangle (B, or shift and drag)",
      onclick: () => brush.setAttribute("aria-pressed", String(brush.getAttribute("aria-pressed") !== "true")),
    },
    "Brush",
  );
  const undo = icon("↶", "Undo (Ctrl+Z)", session.undo);
  const redo = icon("↷", "Redo (Ctrl+Shift+Z)", session.redo);
  const steps = () => {
    undo.disabled = !session.get("can_undo");
    redo.disabled = !session.get("can_redo");
  };
  session.on(["can_undo", "can_redo"], steps);
  steps();
  return {
    element: h(
      "div",
      { class: "gc-bar", role: "toolbar", "aria-label": "Circuit graph" },
      threshold(session, "node_threshold", "Nodes", "Share of influence that the nodes kept carry"),
      threshold(session, "edge_threshold", "Edges", "Share of the edge scores that the edges kept carry"),
      filter.element,
      h("label", { title: "Show edges that are at least this share of their target's input" }, "Share ≥", least, "%"),
      h("label", { title: "Show error nodes" }, errors, "Errors"),
      h(
        "span",
        { class: "gc-icons" },
        brush,
        icon("⤢", "Fit (0, or double-click)", presses.fit),
        undo,
        redo,
        icon("⤓", "Save what is shown as SVG", presses.save),
        icon("◨", "Side panel", presses.panel),
        icon("?", "Keyboard shortcuts (?)", presses.help),
      ),
    ),
    status: status(session),
    filter,
    errors: () => errors.checked,
    leastShare: () => Number(least.value) / 100 || 0,
    brush,
    brushes: () => brush.getAttribute("aria-pressed") === "true",
  };
}

export const icon = (sign: string, name: string, pressed: () => void): HTMLButtonElement =>
  h("button", { type: "button", class: "gc-icon", title: name, "aria-label": name, onclick: pressed }, sign);

/** A slider and a number for one threshold. */
function threshold(
  session: Session,
  name: "node_threshold" | "edge_threshold",
  label: string,
  title: string,
): HTMLElement {
  const attributes = { min: 0, max: 1, step: STEP, "aria-label": `${title}, 0 to 1`, disabled: !session.live };
  const slider = h("input", { ...attributes, type: "range" });
  const number = h("input", { ...attributes, type: "number", class: "gc-short" });
  const show = () => {
    slider.value = String(session.get(name));
    if (Number(number.value) !== session.get(name)) number.value = String(session.get(name));
  };
  for (const input of [slider, number]) {
    input.addEventListener("input", () => {
      const value = Number(input.value);
      if (input.value === "" || !(value >= 0 && value <= 1)) return;
      session.set({ [name]: value }, false);
    });
  }
  number.addEventListener("blur", show);
  session.on([name], show);
  show();
  return h("label", { title }, label, slider, number);
}

/** Counts and scores of the pruned graph, as the kernel has them. */
function status(session: Session): HTMLElement {
  const counts = h("span", { class: "gc-counts" });
  const scores = h("span", { class: "gc-scores" });
  const busy = h("span", { class: "gc-busy", hidden: true }, "pruning…");
  const problem = h("span", { class: "gc-problem" });
  const show = () => {
    const { drawn } = session;
    const [edges, seen] = [drawn.edges.toLocaleString("en"), drawn.source.length];
    const part = seen < drawn.edges ? ` (the ${seen.toLocaleString("en")} strongest drawn)` : "";
    counts.textContent = `${drawn.kept.length.toLocaleString("en")} nodes: ${drawn.counts}; ${edges} edges${part}`;
    const { replacement, completeness } = drawn.scores;
    scores.textContent = `replacement ${told(replacement)}, completeness ${told(completeness)}`;
  };
  const wait = () => {
    busy.hidden = !session.get("busy");
    problem.textContent = session.get("problem");
  };
  session.on(["drawn"], show);
  session.on(["busy", "problem"], wait);
  show();
  wait();
  return h("div", { class: "gc-status gc-muted", role: "status" }, counts, scores, busy, problem);
}

const told = (score: number | null): string => (Number.isFinite(score) ? (score as number).toFixed(3) : "unknown");
