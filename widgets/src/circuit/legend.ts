// What shapes and colours stand for.
import { css, diverging } from "../shared/colour";
import { h } from "../shared/dom";
import type { View } from "../shared/widget";
import { GLYPHS } from "./rows";
import { FULL } from "./stroke";

const STEPS = [-1, -0.5, 0, 0.5, 1];

export function legend(view: View<object>): HTMLElement {
  const scale = h("span", { class: "gc-edge-scale", "aria-hidden": "true" });
  const paint = () => {
    const stops = STEPS.map((step) => css(diverging(step, view.theme().dark)));
    scale.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  };
  view.onTheme(paint);
  paint();
  const [least, most] = [`−${100 * FULL}%`, `+${100 * FULL}%`];
  return h(
    "span",
    { class: "gc-legend" },
    h(
      "span",
      {},
      Object.entries(GLYPHS)
        .map(([kind, glyph]) => `${glyph} ${kind}`)
        .join("  "),
    ),
    h(
      "span",
      { title: "Colour and width of an edge: its share of all that comes into its target" },
      least,
      " ",
      scale,
      " ",
      most,
      " of input",
    ),
  );
}
