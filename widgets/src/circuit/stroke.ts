// Edges as strokes: colour and width by share of the target's input, in few steps, many edges at a stroke.
import { css, diverging } from "../shared/colour";
import { newPath } from "../shared/svg";
import type { Fixed } from "./camera";
import type { Context } from "./layers";
import type { Scene, Sight } from "./scene";

/** Share of its target's input at which an edge has its full colour and width. */
export const FULL = 0.3;
/** Steps of strength on either side of zero. */
const LEVELS = 10;
/** Edges at a stroke: long paths are slow to fill, short ones slow to start. */
const BATCH = 200;
/** Up to this many edges are drawn as curves. */
const CURVES = 6000;
const WIDEST = 2.6;
const DIM = 0.12;
/** Steps up to this one are as thin as the screen can where there are many edges: others take five times as long. */
const THIN = 6;

export const level = (share: number): number =>
  Math.max(1, Math.ceil(Math.sqrt(Math.min(1, Math.abs(share) / FULL)) * LEVELS));

export const colour = (at: number, negative: boolean, dark: boolean, alpha = 1): string =>
  css(diverging(((negative ? -1 : 1) * (at + 1.5)) / (LEVELS + 1.5), dark), alpha * (0.35 + (0.6 * at) / LEVELS));

export const width = (at: number): number => 0.5 + (WIDEST - 0.5) * (at / LEVELS) ** 2;

/** Adds an S-shaped curve that leaves and arrives upright. */
export function bend(path: CanvasPath, ax: number, ay: number, bx: number, by: number): void {
  const half = (by - ay) / 2;
  path.moveTo(ax, ay);
  path.bezierCurveTo(ax, ay + half, bx, by - half, bx, by);
}

/** Strokes a run of edges, the weakest first, and yields after every batch. */
export function* strokes(
  context: Context,
  scene: Scene,
  sight: Sight,
  view: Fixed,
  dark: boolean,
  edges: Iterable<number>,
  count: number,
): Generator<void> {
  const { source, target } = scene;
  const { x, y, share } = scene.drawn;
  const { kx, ky, x0, y0, left, top, right, bottom } = view;
  const curved = count <= CURVES;
  const thinnest = 1 / (globalThis.devicePixelRatio || 1);
  // Edges come by growing |share|, so that those of one strength follow each other; signs and dimmed ones are sorted.
  const paths = [0, 1, 2, 3].map(() => newPath(context));
  const filled = [0, 0, 0, 0];
  let now = 0;
  function flush(which: number): void {
    if (!filled[which]) return;
    context.strokeStyle = colour(now, which % 2 === 1, dark, which > 1 ? DIM : 1);
    context.lineWidth = curved || now > THIN ? width(now) : thinnest;
    context.stroke(paths[which]);
    paths[which] = newPath(context);
    filled[which] = 0;
  }
  for (const edge of edges) {
    const [a, b] = [source[edge], target[edge]];
    if (!sight.seen[a] || !sight.seen[b]) continue;
    const [ax, ay, bx, by] = [x0 + x[a] * kx, y0 - y[a] * ky, x0 + x[b] * kx, y0 - y[b] * ky];
    if (
      (ax < left && bx < left) ||
      (ax > right && bx > right) ||
      (ay < top && by < top) ||
      (ay > bottom && by > bottom)
    )
      continue;
    const at = level(share[edge]);
    if (at !== now) {
      for (const which of [2, 3, 0, 1]) flush(which);
      now = at;
    }
    const which = (share[edge] < 0 ? 1 : 0) + (sight.seen[a] + sight.seen[b] < 4 ? 2 : 0);
    const path = paths[which];
    if (curved) bend(path, ax, ay, bx, by);
    else {
      path.moveTo(ax, ay);
      path.lineTo(bx, by);
    }
    if (++filled[which] >= BATCH) {
      flush(which);
      yield;
    }
  }
  for (const which of [2, 3, 0, 1]) flush(which);
}

/** Whole numbers from `from` up to but not including `to`. */
export function* range(from: number, to: number): Generator<number> {
  for (let i = from; i < to; i++) yield i;
}
