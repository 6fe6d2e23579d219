// The scale of colours with its numbers, and what the marks mean.
import { h } from "../shared/dom";
import { number } from "../shared/number";
import type { Theme } from "../shared/theme";
import { Palette, valueAt } from "./scale";
import type { Sheet } from "./sheet";
import { signed } from "./tip";

const NAMES = { activation: "activation", influence: "influence", effect: "change of activation" } as const;

export function legend(sheet: Sheet, theme: Theme): Node[] {
  const { scale, session } = sheet;
  const ramp = h("span", { class: "gc-ramp" });
  ramp.style.background = new Palette(scale.signed, theme.dark).gradient();
  const stops = scale.signed ? [-1, -0.5, 0, 0.5, 1] : [0, 0.5, 1];
  const tell = scale.signed ? signed : number;
  const tick = (at: number) => {
    const element = h("span", {}, tell(valueAt(at, scale)));
    element.style.left = `${scale.signed ? 50 + 50 * at : 100 * at}%`;
    return element;
  };
  const ticks = h("span", { class: "gc-ticks" }, ...stops.map(tick));
  const name = scale.signed ? session.overlay?.name || NAMES.effect : NAMES[scale.colour];
  return [
    h(
      "span",
      {
        class: "gc-scale",
        role: "img",
        "aria-label": `${name}: ${stops.map((at) => tell(valueAt(at, scale))).join(" to ")}`,
      },
      h("span", { class: "gc-scale-name" }, name),
      h("span", {}, ramp, ticks),
    ),
    h("span", { class: "gc-key" }, h("i", { class: "gc-key-error" }), "error node"),
    h("span", { class: "gc-key" }, h("i", { class: "gc-key-selected" }), "selected"),
    h("span", { class: "gc-key" }, h("i", { class: "gc-key-pinned" }), "pinned"),
  ];
}
