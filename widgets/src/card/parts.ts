// The sections of a card as elements.
import { css, sequential } from "../shared/colour";
import { h, svg } from "../shared/dom";
import { number } from "../shared/number";
import { visible } from "../shared/session";
import type { Theme } from "../shared/theme";
import type { Example, Ranked } from "./content";

/** A title over some content; nothing where there is none. */
export function section(title: string, note: string, ...content: (Node | null)[]): HTMLElement {
  return h("section", { "aria-label": title }, h("h4", {}, title, note && h("span", {}, note)), ...content);
}

/** A text whose tokens are shaded by activation; the strongest is underlined. */
export function shaded(tokens: string[], activations: ArrayLike<number>, top: number, theme: Theme): HTMLElement {
  let peak = 0;
  for (let i = 1; i < tokens.length; i++) if (activations[i] > activations[peak]) peak = i;
  const one = (token: string, i: number) => {
    const value = activations[i];
    if (!(value > 0)) return h("span", {}, visible(token));
    const strength = Math.min(1, value / (top || 1));
    // Less than full colour behind text, so that the text is read as easily as without.
    const shade = css(sequential(1, theme.dark), (theme.dark ? 0.12 : 0.08) + 0.32 * strength);
    const mark = h("mark", { title: number(value), class: i === peak && "gc-peak" }, visible(token));
    mark.style.background = shade;
    return mark;
  };
  return h("span", { class: "gc-text" }, ...tokens.map(one));
}

/** One line for each example: its strongest activation and its text, which scrolls to the strongest token. */
export function examples(list: Example[], theme: Theme): HTMLElement {
  const top = Math.max(...list.map(({ activations, peak }) => activations[peak]));
  return h(
    "ol",
    { class: "gc-examples" },
    ...list.map(({ tokens, activations, peak }) =>
      h("li", {}, h("span", { class: "gc-value" }, number(activations[peak])), shaded(tokens, activations, top, theme)),
    ),
  );
}

/** Tokens with a bar as long as the value's share of the largest. */
export function bars(title: string, list: Ranked): HTMLElement {
  const top = Math.max(...list.map(([, value]) => Math.abs(value)), 1e-30);
  const rows = list.map(([token, value]) => {
    const bar = h("i", { class: value < 0 && "gc-negative" });
    bar.style.width = `${(100 * Math.abs(value)) / top}%`;
    return h(
      "tr",
      {},
      h("th", { scope: "row", title: token }, visible(token)),
      h("td", {}, bar),
      h("td", {}, number(value)),
    );
  });
  return h("div", {}, h("h5", {}, title), h("table", { class: "gc-bars" }, h("tbody", {}, ...rows)));
}

/** How often it fires how strongly, on a logarithmic scale of activation: bins double every four. */
export function histogram({ edges, counts }: { edges: number[]; counts: number[] }): SVGElement {
  const [width, height] = [240, 56];
  const top = Math.max(...counts, 1);
  const step = width / Math.max(counts.length, 1);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const drawing = svg("svg", {
    viewBox: `0 0 ${width} ${height + 14}`,
    class: "gc-histogram",
    role: "img",
    "aria-label": `Histogram of ${total} activations from ${number(edges[0] ?? 0)} to ${number(edges.at(-1) ?? 0)}`,
  });
  counts.forEach((count, i) => {
    const tall = (height * count) / top;
    const bar = svg("rect", { x: i * step, y: height - tall, width: Math.max(step - 0.6, 0.4), height: tall });
    bar.append(svg("title", {}, `${number(edges[i])} to ${number(edges[i + 1])}: ${count}`));
    drawing.append(bar);
  });
  drawing.append(
    svg("line", { x1: 0, x2: width, y1: height, y2: height }),
    svg("text", { x: 0, y: height + 11 }, number(edges[0] ?? 0)),
    svg("text", { x: width, y: height + 11, "text-anchor": "end" }, number(edges.at(-1) ?? 0)),
  );
  return drawing;
}
