// Clicks and drags on the heatmap, as regions to select.
import { type Hit, type Layout, nearest, type Scroll } from "./geometry";
import type { Region, Sheet } from "./sheet";

/** What happens to the selection: a shift-click extends it from the cell before, a drag with a key held adds. */
export type How = "replace" | "toggle" | "extend" | "add";

export interface Pointing {
  /** What lies under a point of the canvas. */
  hit(x: number, y: number): Hit | undefined;
  layout(): Layout;
  scroll(): Scroll;
  scrollBy(x: number, y: number): void;
  hover(at: Hit | undefined, x: number, y: number): void;
  /** While a rectangle is dragged; undefined when that ends. */
  brush(region: Region | undefined): void;
  /** `whole`: also cells that the filter has made faint. */
  select(region: Region, how: How, whole: boolean, end: { item: number; column: number }): void;
  clear(): void;
}

/** The region that a part stands for: a heading is all rows of its layer. */
export function regionOf(sheet: Sheet, at: Hit): Region {
  const { item, column } = at;
  const all = Math.max(sheet.columns - 1, 0);
  if (at.part === "column") return { items: [0, sheet.items.length - 1], columns: [column, column] };
  if (sheet.items[item] < 0) return { items: sheet.section(~sheet.items[item]), columns: [0, all] };
  return { items: [item, item], columns: at.part === "row" ? [0, all] : [column, column] };
}

const MOVED = 4; // pixels before a click becomes a drag

export function listen(canvas: HTMLElement, sheet: Sheet, signal: AbortSignal, on: Pointing): void {
  let from: { hit: Hit; x: number; y: number; dragged: boolean } | undefined;
  let region: Region | undefined;
  const place = (event: PointerEvent): [number, number] => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const heard = (
    name: "pointerdown" | "pointermove" | "pointerup" | "pointercancel" | "pointerleave",
    run: (event: PointerEvent) => void,
  ) => canvas.addEventListener(name, run, { signal });
  const end = () => {
    from = region = undefined;
    on.brush(undefined);
  };

  heard("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [x, y] = place(event);
    const hit = on.hit(x, y);
    from = hit && { hit, x, y, dragged: false };
    if (!hit) on.clear();
    if (event.pointerType !== "touch") canvas.setPointerCapture(event.pointerId);
  });
  heard("pointermove", (event) => {
    const [x, y] = place(event);
    if (!from || event.pointerType === "touch") {
      on.hover(on.hit(x, y), x, y);
      return;
    }
    from.dragged ||= Math.hypot(x - from.x, y - from.y) > MOVED;
    if (!from.dragged || from.hit.part === "column") return;
    const { width, height } = on.scroll();
    const beyond = (at: number, low: number, high: number) => (at < low ? at - low : at > high ? at - high : 0);
    on.scrollBy(beyond(x, 0, width), beyond(y, 0, height));
    const to = nearest(on.layout(), on.scroll(), x, y);
    const start = regionOf(sheet, from.hit);
    region = {
      items: [Math.min(start.items[0], to.item), Math.max(start.items[1], to.item)],
      columns:
        from.hit.part === "cell" && sheet.items[from.hit.item] >= 0
          ? [Math.min(from.hit.column, to.column), Math.max(from.hit.column, to.column)]
          : start.columns,
    };
    on.brush(region);
  });
  heard("pointerup", (event) => {
    if (!from) return;
    const toggle = event.ctrlKey || event.metaKey;
    const { item, column } = from.hit;
    if (region) on.select(region, toggle || event.shiftKey ? "add" : "replace", false, { item, column });
    else {
      const single = from.hit.part !== "column" && sheet.items[item] >= 0;
      const how = toggle ? "toggle" : event.shiftKey ? "extend" : "replace";
      on.select(regionOf(sheet, from.hit), how, single, { item, column });
    }
    end();
  });
  heard("pointercancel", end);
  heard("pointerleave", () => on.hover(undefined, 0, 0));
}
