// Labels at the nodes that have one, the strongest first, where there is room.
import type { Theme } from "../shared/theme";
import { elide, tame } from "./axes";
import type { Camera } from "./camera";
import { radiusOf } from "./nodes";
import type { Scene, Sight } from "./scene";

const SIZE = 11;
const WIDEST = 150;
const CELL = 32;
/** So many labels are tried at most. */
const TRIED = 400;

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Boxes that do not overlap, found by the cells of a grid that they touch. */
export class Room {
  readonly #cells = new Map<number, Box[]>();

  #keys(box: Box): number[] {
    const keys: number[] = [];
    for (let i = Math.floor(box.left / CELL); i <= Math.floor(box.right / CELL); i++) {
      for (let j = Math.floor(box.top / CELL); j <= Math.floor(box.bottom / CELL); j++) keys.push(i * 100_003 + j);
    }
    return keys;
  }

  free(box: Box): boolean {
    return !this.#keys(box).some((key) =>
      this.#cells
        .get(key)
        ?.some(
          (other) =>
            other.left < box.right && other.right > box.left && other.top < box.bottom && other.bottom > box.top,
        ),
    );
  }

  take(box: Box): void {
    for (const key of this.#keys(box)) {
      const cell = this.#cells.get(key);
      if (cell) cell.push(box);
      else this.#cells.set(key, [box]);
    }
  }
}

/** Draws the labels in this order of places, until there is no room. */
export function paintLabels(
  context: CanvasRenderingContext2D,
  scene: Scene,
  sight: Sight,
  camera: Camera,
  theme: Theme,
  label: (node: number) => string,
  order: Int32Array,
): void {
  const room = new Room();
  const { x, y } = scene.drawn;
  const { left, bottom } = camera.margins;
  const shown: { place: number; text: string }[] = [];
  for (const place of order) {
    if (shown.length >= TRIED) break;
    const text = sight.seen[place] === 2 ? label(scene.node[place]) : "";
    if (text) shown.push({ place, text });
  }
  if (!shown.length) return;
  for (let i = 0; i < scene.node.length; i++) {
    if (!sight.seen[i]) continue;
    const [px, py, r] = [camera.toX(x[i]), camera.toY(y[i]), radiusOf(scene, camera, i)];
    if (px < left || px > camera.width || py < 0 || py > camera.height - bottom) continue;
    room.take({ left: px - r, top: py - r, right: px + r, bottom: py + r });
  }
  context.font = `${SIZE}px ${theme.font}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.lineJoin = "round";
  for (const { place, text } of shown) {
    const [px, py, r] = [camera.toX(x[place]), camera.toY(y[place]), radiusOf(scene, camera, place)];
    if (px < left || px > camera.width || py < 8 || py > camera.height - bottom - 4) continue;
    const told = elide(tame(text), WIDEST, (part) => context.measureText(part).width);
    const wide = context.measureText(told).width;
    for (const [dx, dy] of [
      [r + 3, 0],
      [-wide / 2, -r - 8],
      [-wide / 2, r + 8],
      [-wide - r - 3, 0],
    ]) {
      const at = { left: px + dx, top: py + dy - 6, right: px + dx + wide, bottom: py + dy + 6 };
      if (at.left < left || at.right > camera.width || !room.free(at)) continue;
      room.take(at);
      context.strokeStyle = theme.paper;
      context.lineWidth = 3;
      context.strokeText(told, at.left, py + dy);
      context.fillStyle = theme.ink;
      context.fillText(told, at.left, py + dy);
      break;
    }
  }
}
