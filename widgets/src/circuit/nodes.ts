// Nodes on the canvas: a shape for each kind, an outline for what is pinned, a ring for what is selected.
import { css, diverging } from "../shared/colour";
import type { Overlay } from "../shared/session";
import type { Theme } from "../shared/theme";
import type { Camera } from "./camera";
import type { Scene, Sight } from "./scene";

const FEATURE = "#8a8f98";
/** Colours of supernodes: Okabe and Ito's, without the edges' two. */
export const GROUPS = ["#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a800"];
const [SMALLEST, LARGEST] = [2.2, 13];
const SIDES = 5;

/** Radius in CSS pixels of the largest nodes. */
export const radius = (camera: Camera): number =>
  Math.min(LARGEST, Math.max(SMALLEST * 2, 0.46 * Math.min(camera.kx, camera.ky)));

export const radiusOf = (scene: Scene, camera: Camera, place: number): number =>
  Math.max(SMALLEST, radius(camera) * scene.size[place]);

/** Adds a node's outline to a path: circle, diamond, square or pentagon. */
export function outline(path: Path2D | CanvasRenderingContext2D, kind: number, x: number, y: number, r: number): void {
  switch (kind) {
    case 0:
      path.moveTo(x + r, y);
      path.arc(x, y, r, 0, 2 * Math.PI);
      break;
    case 1:
      path.moveTo(x, y - r);
      path.lineTo(x + r, y);
      path.lineTo(x, y + r);
      path.lineTo(x - r, y);
      path.closePath();
      break;
    case 2:
      path.rect(x - 0.8 * r, y - 0.8 * r, 1.6 * r, 1.6 * r);
      break;
    default:
      for (let i = 0; i < SIDES; i++) {
        const angle = (2 * Math.PI * i) / SIDES - Math.PI / 2;
        const [px, py] = [x + 1.1 * r * Math.cos(angle), y + 1.1 * r * Math.sin(angle)];
        if (i) path.lineTo(px, py);
        else path.moveTo(px, py);
      }
      path.closePath();
  }
}

/** What is told of nodes by their look; nodes of the graph, not places. */
export interface Marks {
  selected: Set<number>;
  pinned: Set<number>;
  /** The group that a node is in, by its place in the list of groups. */
  group: Map<number, number>;
  overlay: Overlay | undefined;
}

export function paintNodes(
  context: CanvasRenderingContext2D,
  scene: Scene,
  sight: Sight,
  camera: Camera,
  theme: Theme,
  marks: Marks,
): void {
  const { x, y } = scene.drawn;
  const batches = new Map<string, { fill: string; stroke: string; alpha: number; path: Path2D }>();
  const largest = marks.overlay
    ? marks.overlay.values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30)
    : 1;
  const { kx, ky, x0, y0 } = camera;
  const most = radius(camera);
  const rings = new Path2D();
  const rims = new Path2D();
  for (let i = 0; i < scene.node.length; i++) {
    if (!sight.seen[i]) continue;
    const [px, py, r] = [x0 + x[i] * kx, y0 - y[i] * ky, Math.max(SMALLEST, most * scene.size[i])];
    if (px < -r || py < -r || px > camera.width + r || py > camera.height + r) continue;
    const node = scene.node[i];
    const kind = scene.kind[i];
    const group = marks.group.get(node);
    const own =
      group !== undefined
        ? GROUPS[group % GROUPS.length]
        : marks.overlay && kind < 2
          ? css(diverging(marks.overlay.values[node] / largest, theme.dark))
          : kind === 0
            ? FEATURE
            : kind === 1
              ? theme.paper
              : theme.ink;
    const stroke = kind === 1 ? theme.muted : theme.paper;
    const alpha = sight.seen[i] === 1 ? 0.18 : 1;
    const key = `${own} ${stroke} ${alpha}`;
    let batch = batches.get(key);
    if (!batch) {
      batch = { fill: own, stroke, alpha, path: new Path2D() };
      batches.set(key, batch);
    }
    outline(batch.path, kind, px, py, r);
    if (marks.pinned.has(node)) outline(rims, kind, px, py, r);
    if (marks.selected.has(node)) outline(rings, kind, px, py, r + 3.5);
  }
  context.lineJoin = "round";
  for (const { fill, stroke, alpha, path } of [...batches.values()].sort((a, b) => a.alpha - b.alpha)) {
    context.globalAlpha = alpha;
    context.fillStyle = fill;
    context.strokeStyle = stroke;
    context.lineWidth = stroke === theme.muted ? 1.2 : 0.8;
    context.fill(path);
    context.stroke(path);
  }
  context.globalAlpha = 1;
  context.strokeStyle = theme.ink;
  context.lineWidth = 1.8;
  context.stroke(rims);
  context.strokeStyle = theme.accent;
  context.lineWidth = 2;
  context.stroke(rings);
}

/** A ring around the node that the keyboard is at or the pointer over. */
export function paintFocus(
  context: CanvasRenderingContext2D,
  scene: Scene,
  camera: Camera,
  theme: Theme,
  place: number,
): void {
  const path = new Path2D();
  const [x, y] = [camera.toX(scene.drawn.x[place]), camera.toY(scene.drawn.y[place])];
  outline(path, scene.kind[place], x, y, radiusOf(scene, camera, place) + 3.5);
  context.setLineDash([3, 2]);
  context.strokeStyle = theme.ink;
  context.lineWidth = 1.4;
  context.stroke(path);
  context.setLineDash([]);
}
