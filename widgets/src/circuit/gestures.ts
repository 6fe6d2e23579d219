// Pointer and wheel on the canvas as what they mean: pan, zoom, brush, click, hover.

export interface Meaning {
  hover(x: number, y: number): void;
  leave(): void;
  click(x: number, y: number, how: "select" | "extend" | "pin"): void;
  twice(x: number, y: number): void;
  pan(dx: number, dy: number): void;
  zoom(x: number, y: number, factor: number): void;
  /** While a rectangle is drawn; `done` at its end. */
  brush(x1: number, y1: number, x2: number, y2: number, done: boolean): void;
  /** A brush that was begun is given up. */
  drop(): void;
}

/** Pixels that a pointer may move between press and release of a click. */
const STILL = 4;

/** Listens to `canvas`; `brushes` tells whether a plain drag brushes, `scrolls` whether a plain wheel pans. */
export function gestures(
  canvas: HTMLElement,
  signal: AbortSignal,
  meaning: Meaning,
  brushes: () => boolean,
  scrolls: () => boolean,
): void {
  let start: { x: number; y: number; brush: boolean; moved: boolean; lastX: number; lastY: number } | undefined;
  const at = (event: MouseEvent): [number, number] => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const on = <K extends keyof HTMLElementEventMap>(name: K, heard: (event: HTMLElementEventMap[K]) => void) =>
    canvas.addEventListener(name, heard, { signal, passive: false });

  on("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    const [x, y] = at(event);
    start = { x, y, brush: event.shiftKey || brushes(), moved: false, lastX: x, lastY: y };
    canvas.setPointerCapture(event.pointerId);
  });
  on("pointermove", (event) => {
    const [x, y] = at(event);
    if (!start) {
      meaning.hover(x, y);
      return;
    }
    if (!start.moved && Math.hypot(x - start.x, y - start.y) < STILL) return;
    start.moved = true;
    if (start.brush) meaning.brush(start.x, start.y, x, y, false);
    else meaning.pan(x - start.lastX, y - start.lastY);
    [start.lastX, start.lastY] = [x, y];
  });
  on("pointerup", (event) => {
    if (!start) return;
    const [x, y] = at(event);
    const { moved, brush } = start;
    if (moved && brush) meaning.brush(start.x, start.y, x, y, true);
    if (!moved) meaning.click(x, y, event.ctrlKey || event.metaKey ? "pin" : event.shiftKey ? "extend" : "select");
    start = undefined;
  });
  on("pointercancel", () => {
    start = undefined;
    meaning.drop();
  });
  on("pointerleave", () => {
    if (!start) meaning.leave();
  });
  on("dblclick", (event) => meaning.twice(...at(event)));
  on("wheel", (event) => {
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
    if (event.ctrlKey || event.metaKey) {
      meaning.zoom(...at(event), Math.exp(-0.01 * Math.max(-30, Math.min(30, dy))));
    } else if (scrolls()) {
      if (event.shiftKey && !dx) meaning.pan(-dy, 0);
      else meaning.pan(-dx, -dy);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
