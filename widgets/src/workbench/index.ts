import "./style.css";
import type { AnyModel } from "@anywidget/types";
import { h } from "../shared/dom";
import { type View, widget } from "../shared/widget";
import { split } from "./split";

type Pane = "heatmap" | "graph" | "card" | "interventions";

interface Panes {
  /** Share of the lower row's width that the heatmap has. */
  across: number;
  /** Which of the two lies beside it. */
  beside: "card" | "interventions";
}

interface Traits {
  parts: Record<Pane, string>;
  layout_of_panes: Partial<Panes>;
  /** When unsaved work was last copied; empty if there is none. */
  recoverable: string;
}

const LEAST = 240;

async function mount(view: View<Traits>): Promise<void> {
  const { model, session, root, signal, host } = view;
  const own = {} as Record<Pane, AnyModel<{ height: number }>>;
  const slot = {} as Record<Pane, HTMLElement>;
  for (const [name, reference] of Object.entries(model.get("parts")) as [Pane, string][]) {
    own[name] = await host.getModel<{ height: number }>(reference);
    slot[name] = h("div", { class: "gc-slot" });
  }
  const panes = (): Panes => ({ across: 0.55, beside: "card", ...model.get("layout_of_panes") });
  const arrange = (change: Partial<Panes>, done: boolean) => {
    model.set("layout_of_panes", { ...panes(), ...change });
    draw();
    if (done) model.save_changes();
  };

  const tab = (name: Panes["beside"], text: string) =>
    h("button", { type: "button", role: "tab", onclick: () => arrange({ beside: name }, true) }, text);
  const tabs = { card: tab("card", "Feature"), interventions: tab("interventions", "Interventions") };
  const full = h("button", { type: "button", title: "Fill the screen", onclick: () => void fill() }, "Full screen");
  const undo = h("button", { type: "button", title: "Undo (Ctrl+Z)", onclick: session.undo }, "Undo");
  const redo = h("button", { type: "button", title: "Redo (Ctrl+Shift+Z)", onclick: session.redo }, "Redo");
  const unsaved = h("div", { class: "gc-bar gc-unsaved", role: "status" });
  const lower = h(
    "div",
    { class: "gc-lower" },
    slot.heatmap,
    split({
      label: "Width of the heatmap",
      direction: "vertical",
      get: () => panes().across,
      move: (from, pixels, done) =>
        arrange({ across: Math.min(0.8, Math.max(0.2, from + pixels / lower.clientWidth)) }, done),
    }),
    h(
      "div",
      { class: "gc-beside" },
      h("div", { class: "gc-tabs", role: "tablist" }, tabs.card, tabs.interventions),
      slot.card,
      slot.interventions,
    ),
  );
  const taller = (names: Pane[]) =>
    split({
      label: `Height of the ${names[0]}`,
      direction: "horizontal",
      get: () => own[names[0]].get("height"),
      move: (from, pixels, done) => {
        for (const name of names) {
          own[name].set("height", Math.max(LEAST, Math.round(from + pixels)));
          if (done) own[name].save_changes();
        }
      },
    });
  root.append(
    h("div", { class: "gc-bar" }, h("strong", { class: "gc-prompt" }, session.meta.prompt), undo, redo, full),
    unsaved,
    slot.graph,
    taller(["graph"]),
    lower,
    taller(["heatmap"]),
  );

  async function fill(): Promise<void> {
    if (document.fullscreenElement === root) await document.exitFullscreen();
    else await root.requestFullscreen();
  }

  function draw(): void {
    const { across, beside } = panes();
    lower.style.gridTemplateColumns = `minmax(0, ${across}fr) 7px minmax(0, ${1 - across}fr)`;
    for (const [name, button] of Object.entries(tabs) as [Panes["beside"], HTMLElement][]) {
      button.setAttribute("aria-selected", String(name === beside));
      slot[name].hidden = name !== beside;
    }
    undo.disabled = !session.get("can_undo");
    redo.disabled = !session.get("can_redo");
  }

  function tell(): void {
    const when = model.get("recoverable");
    unsaved.hidden = !when;
    unsaved.replaceChildren(
      `There is unsaved work on this graph from ${new Date(when).toLocaleString()}.`,
      h("button", { type: "button", onclick: () => void session.ask("recover", null) }, "Bring it back"),
      h("button", { type: "button", onclick: () => void session.ask("discard", null) }, "Discard it"),
    );
  }

  const listen = (name: keyof Traits, changed: () => void) => {
    model.on(`change:${name}`, changed);
    signal.addEventListener("abort", () => model.off(`change:${name}`, changed));
  };
  listen("layout_of_panes", draw);
  listen("recoverable", tell);
  session.on(["can_undo", "can_redo"], draw);
  document.addEventListener(
    "fullscreenchange",
    () => {
      full.textContent = document.fullscreenElement === root ? "Leave full screen" : "Full screen";
    },
    { signal },
  );
  draw();
  tell();
  for (const [name, reference] of Object.entries(model.get("parts")) as [Pane, string][]) {
    await (await host.getWidget(reference)).render({ el: slot[name], signal });
  }
}

export default widget("workbench", "Workbench", mount);
