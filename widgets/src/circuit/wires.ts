// Edges between the boxes of the subgraph, with their shares where a box is selected.
import { svg } from "../shared/dom";
import { number } from "../shared/number";
import { colour, level, width } from "./stroke";
import type { Between, Size } from "./subgraph";
import { percent } from "./tip";

/** The strongest edges, and only those that are at least this share. */
const SHOWN = 300;
const LEAST = 0.003;
const HEAD = 4;

/** Replaces the lines by those of `edges`, the weakest first; `lit` are the boxes whose shares are told. */
export function wires(
  parent: SVGSVGElement,
  edges: Between[],
  at: [number, number][],
  sizes: Size[],
  titles: string[],
  lit: Set<number>,
  dark: boolean,
): void {
  const lines: SVGElement[] = [];
  const texts: SVGElement[] = [];
  for (const { source, target, share, weight } of edges.slice(-SHOWN)) {
    if (Math.abs(share) < LEAST) continue;
    const line = curve(at[source], sizes[source], at[target], sizes[target]);
    const strength = level(share);
    const near = lit.has(source) || lit.has(target);
    const ink = colour(near ? Math.max(4, strength) : strength, share < 0, dark);
    const thick = width(strength) + 0.4;
    const told = `${titles[source]} → ${titles[target]}: ${percent(share)} of its input (weight ${number(weight)})`;
    lines.push(
      svg("path", {
        d: line.path,
        stroke: ink,
        "stroke-width": thick,
        fill: "none",
        opacity: lit.size && !near ? 0.5 : 1,
      }),
      svg("path", { d: line.head(HEAD + thick), fill: ink, opacity: lit.size && !near ? 0.5 : 1 }),
      svg("path", { d: line.path, stroke: "transparent", "stroke-width": 9, fill: "none" }, svg("title", {}, told)),
    );
    const [mx, my] = lit.has(source) ? line.end : line.start;
    if (near) texts.push(svg("text", { x: mx, y: my, "text-anchor": "middle", class: "gc-share" }, percent(share)));
  }
  parent.replaceChildren(...lines, ...texts);
}

interface Line {
  path: string;
  head(size: number): string;
  /** Where a text at either end stands. */
  start: [number, number];
  end: [number, number];
}

/** From box to box: out of the top and into the bottom where the target is above, sideways or down otherwise. */
function curve([sx, sy]: [number, number], from: Size, [tx, ty]: [number, number], to: Size): Line {
  const lean = (own: Size, way: number) => Math.max(-0.35, Math.min(0.35, way / 500)) * own.width;
  const up = sy - from.height / 2 > ty + to.height / 2 + 4;
  const down = sy + from.height / 2 < ty - to.height / 2 - 4;
  let [x1, y1, x2, y2] = [sx, sy, tx, ty];
  let [ux, uy] = [0, -1];
  if (up || down) {
    uy = up ? -1 : 1;
    [x1, x2] = [sx + lean(from, tx - sx), tx + lean(to, sx - tx)];
    [y1, y2] = [sy + (uy * from.height) / 2, ty - (uy * to.height) / 2];
  } else {
    [ux, uy] = [tx >= sx ? 1 : -1, 0];
    [x1, x2] = [sx + (ux * from.width) / 2, tx - (ux * to.width) / 2];
  }
  const bend = uy ? Math.max(14, Math.abs(y2 - y1) * 0.45) : Math.max(10, Math.abs(x2 - x1) * 0.4);
  const [ex, ey] = [x2 - ux * HEAD, y2 - uy * HEAD];
  const f = (value: number) => value.toFixed(1);
  return {
    path: `M${f(x1)},${f(y1)}C${f(x1 + ux * bend)},${f(y1 + uy * bend)} ${f(x2 - ux * bend)},${f(y2 - uy * bend)} ${f(ex)},${f(ey)}`,
    head: (size) => {
      const [bx, by] = [x2 - ux * size, y2 - uy * size];
      const half = size / 2;
      return `M${f(x2)},${f(y2)}L${f(bx + uy * half)},${f(by + ux * half)}L${f(bx - uy * half)},${f(by - ux * half)}Z`;
    },
    start: [x1 + ux * 26, y1 + uy * 12 + 4],
    end: [x2 - ux * 26, y2 - uy * 12 + 4],
  };
}
