// The form: what to change, how, and to what.
import { h } from "../shared/dom";
import type { Session } from "../shared/session";
import type { Change, ChangeKind } from "./records";

const KINDS: [ChangeKind, string][] = [
  ["ablate", "Ablate"],
  ["steer", "Steer"],
  ["set", "Set"],
  ["patch", "Patch"],
];
const MODES: [string, string][] = [
  ["frozen-attention", "attention frozen"],
  ["direct", "all frozen (direct effect)"],
  ["open", "nothing frozen"],
];

export interface Form {
  element: HTMLElement;
  /** What the form says, as a change; undefined where there is nothing to change. */
  change(): Change | undefined;
  mode(): string;
  newTokens(): number;
  /** Follows the selection and the supernodes. */
  refresh(): void;
}

const options = (list: [string, string][]) => list.map(([value, text]) => h("option", { value }, text));

export function form(session: Session): Form {
  const target = h("select", { "aria-label": "What to change", onchange: () => refresh() });
  const kind = h("select", { "aria-label": "How to change it", onchange: () => refresh() }, ...options(KINDS));
  const slider = h("input", { type: "range", min: -5, max: 5, step: 0.1, value: 2, "aria-label": "Factor, slider" });
  const value = h("input", { type: "number", step: "any", value: 2, "aria-label": "Value", class: "gc-number" });
  const prompt = h("input", {
    type: "text",
    value: session.meta.prompt,
    "aria-label": "Prompt to patch from",
    class: "gc-prompt",
  });
  const mode = h("select", { "aria-label": "What stays frozen" }, ...options(MODES));
  const tokens = h("input", {
    type: "number",
    min: 0,
    max: 500,
    value: 0,
    "aria-label": "Tokens to write",
    class: "gc-number",
  });
  const unit = h("span", { class: "gc-muted" });
  slider.addEventListener("input", () => {
    value.value = slider.value;
  });
  value.addEventListener("input", () => {
    slider.value = value.value;
  });

  const changeable = () => session.get("selected").filter((node) => ["feature", "error"].includes(session.kind(node)));
  const groups = () => session.get("notes").supernodes;

  function refresh(): void {
    const chosen = target.value;
    const count = changeable().length;
    const list: [string, string][] = [
      ["selection", count === 1 ? session.title(changeable()[0]) : `${count} selected nodes`],
      ...groups().map(([name, nodes]): [string, string] => [`group ${name}`, `${name} (${nodes.length} nodes)`]),
    ];
    target.replaceChildren(...options(list));
    target.value = list.some(([name]) => name === chosen) ? chosen : "selection";
    const steering = kind.value === "steer";
    slider.hidden = !steering;
    value.hidden = unit.hidden = !(steering || kind.value === "set");
    unit.textContent = steering ? "× its activation" : "activation";
    prompt.hidden = kind.value !== "patch";
  }
  refresh();

  return {
    element: h(
      "div",
      { class: "gc-bar" },
      kind,
      target,
      slider,
      value,
      unit,
      prompt,
      h("label", {}, "with", mode),
      h("label", {}, "write", tokens, "tokens"),
    ),
    change() {
      const name = target.value.startsWith("group ") ? target.value.slice(6) : "";
      const nodes = name ? (groups().find(([group]) => group === name)?.[1] ?? []) : changeable();
      if (nodes.length === 0) return undefined;
      return { kind: kind.value as ChangeKind, nodes, value: Number(value.value), prompt: prompt.value, name };
    },
    mode: () => mode.value,
    newTokens: () => Math.max(0, Math.round(Number(tokens.value) || 0)),
    refresh,
  };
}
