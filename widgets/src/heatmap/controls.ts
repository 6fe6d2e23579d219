// The bar above the heatmap.
import { h } from "../shared/dom";
import type { FilterBox } from "../shared/filterbox";
import type { Actions } from "./actions";
import { SORTS, type Sort } from "./order";
import { COLOURS, type Colour } from "./scale";
import { SHOWS, type Sheet, type Show } from "./sheet";

const SORT_NAMES: Record<Sort, string> = {
  influence: "influence",
  first_token: "first token",
  layer: "layer and index",
  similarity: "similarity",
};
const COLOUR_NAMES: Record<Colour, string> = { activation: "activation", influence: "influence", effect: "effect" };
const SHOW_NAMES: Record<Show, string> = {
  influence: "with influence",
  circuit: "in the circuit",
  all: "all",
};

export interface Controls {
  element: HTMLElement;
  /** Brings the bar up to the traits. */
  update(): void;
  /** What is told beside the count, such as that something is being computed. */
  status(text: string, problem?: boolean): void;
}

const SAVE = "Save what is shown as SVG";

export function controls(sheet: Sheet, actions: Actions, box: FilterBox, help: () => void, save: () => void): Controls {
  const { model } = sheet;
  const updates: (() => void)[] = [];
  function select<K extends "sort" | "colour" | "show">(name: K, title: string, names: Record<string, string>) {
    const options = Object.entries(names).map(([value, text]) => h("option", { value }, text));
    const element = h("select", { "aria-label": title }, ...options);
    element.addEventListener("change", () => actions.set(name, element.value as never));
    updates.push(() => {
      element.value = model.get(name);
    });
    return h("label", {}, title, element);
  }
  function check(name: "errors" | "grouped", title: string) {
    const element = h("input", { type: "checkbox" });
    element.addEventListener("change", () => actions.set(name, element.checked));
    updates.push(() => {
      element.checked = model.get(name);
    });
    return h("label", {}, element, title);
  }
  const colour = select("colour", "Colour", COLOUR_NAMES);
  const count = h("span", { class: "gc-count", role: "status" });
  const note = h("span", { class: "gc-muted", role: "status" });
  updates.push(() => {
    colour.querySelector<HTMLOptionElement>("option[value=effect]")!.disabled = !sheet.session.overlay;
    count.textContent = `${sheet.count} of ${sheet.rows.features} features`;
  });
  return {
    element: h(
      "div",
      { class: "gc-bar" },
      colour,
      select("sort", "Sort", SORT_NAMES),
      select("show", "Features", SHOW_NAMES),
      check("grouped", "by layer"),
      check("errors", "errors"),
      box.element,
      count,
      note,
      h("button", { type: "button", "aria-label": SAVE, title: SAVE, onclick: save }, "⤓"),
      h("button", { type: "button", "aria-label": "Keyboard shortcuts", title: "Keys (?)", onclick: help }, "?"),
    ),
    update() {
      for (const update of updates) update();
    },
    status(text, problem = false) {
      note.textContent = text;
      note.classList.toggle("gc-problem", problem);
    },
  };
}

export const cycles = { sort: SORTS, colour: COLOURS, show: SHOWS };
