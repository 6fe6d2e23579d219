// Nodes on the canvas: a shape for each kind, an outline for what is pinned, a ring for what is selected.
import { css, diverging } from "../shared/colour";
import type { Overlay } from "../shared/session";
import { newPath } from "../shared/svg";
import type { Theme } from "../shared/theme";
import type { Camera, Fixed } from "./camera";
import type { Context } from "./layers";
import type { Scene, Sight } from "./scene";

const FEATURE = "#8a8f98";
/** Colours of supernodes: Okabe and Ito's, without the edges' two. */
export const GROUPS = ["#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a800"];
const [SMALLEST, LARGEST] = [2.2, 13];
const SIDES = 5;
const DIM = 0.2;
/** Nodes between two stops. */
const BATCH = 100;

/** Radius in CSS pixels of the largest nodes. */
export const radius = ({ kx, ky }: Pick<Fixed, "kx" | "ky">): number =>
  Math.min(LARGEST, Math.max(SMALLEST * 2, 0.46 * Math.min(kx, ky)));

export const radiusOf = (scene: Scene, camera: Camera, place: number): number =>
  Math.max(SMALLEST, radius(camera) * scene.size[place]);

/** Adds a node's outline to a path: circle, diamond, square or pentagon. */
export function outline(path: CanvasPath, kind: number, x: number, y: number, r: number): void {
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

/** Draws all nodes, and stops after some. */
export function* paintNodes(
  context: Context,
  scene: Scene,
  sight: Sight,
  view: Fixed,
  theme: Theme,
  marks: Marks,
): Generator<void> {
  const { x, y } = scene.drawn;
  const { kx, ky, x0, y0, left, top, right, bottom } = view;
  const most = radius(view);
  const scale = marks.overlay
    ? marks.overlay.values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1e-30)
    : 1;
  const fills = [FEATURE, theme.paper, theme.ink, theme.ink];
  context.lineJoin = "round";
  let drawn = 0;
  // Those that are dimmed first.
  for (const seen of [1, 2]) {
    context.globalAlpha = 1;
    for (let i = 0; i < scene.node.length; i++) {
      if (sight.seen[i] !== seen) continue;
      const [px, py, r] = [x0 + x[i] * kx, y0 - y[i] * ky, Math.max(SMALLEST, most * scene.size[i])];
      if (px < left - r || py < top - r || px > right + r || py > bottom + r) continue;
      const [node, kind] = [scene.node[i], scene.kind[i]];
      const group = marks.group.get(node);
      context.beginPath();
      outline(context, kind, px, py, r);
      if (seen === 1) {
        context.globalAlpha = 1;
        context.fillStyle = theme.paper; // over the edges that meet there
        context.fill();
        context.globalAlpha = DIM;
      }
      if (group !== undefined) context.fillStyle = GROUPS[group % GROUPS.length];
      else if (marks.overlay && kind < 2)
        context.fillStyle = css(diverging(marks.overlay.values[node] / scale, theme.dark));
      else context.fillStyle = fills[kind];
      context.strokeStyle = kind === 1 ? theme.muted : theme.paper;
      context.lineWidth = kind === 1 ? 1.2 : 0.8;
      context.fill();
      context.stroke();
      if (++drawn % BATCH === 0) yield;
    }
  }
  context.globalAlpha = 1;
}

/** An outline for what is pinned, a ring for what is selected. */
export function paintMarks(
  context: CanvasRenderingContext2D,
  scene: Scene,
  sight: Sight,
  camera: Camera,
  theme: Theme,
  marks: Marks,
): void {
  const [rims, rings] = [newPath(context), newPath(context)];
  for (const [nodes, path, wider] of [
    [marks.pinned, rims, 0],
    [marks.selected, rings, 3.5],
  ] as const) {
    for (const node of nodes) {
      const place = scene.place[node];
      if (place < 0 || !sight.seen[place]) continue;
      const [px, py] = [camera.toX(scene.drawn.x[place]), camera.toY(scene.drawn.y[place])];
      outline(path, scene.kind[place], px, py, radiusOf(scene, camera, place) + wider);
    }
  }
  context.lineJoin = "round";
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
  const path = newPath(context);
  const [x, y] = [camera.toX(scene.drawn.x[place]), camera.toY(scene.drawn.y[place])];
  outline(path, scene.kind[place], x, y, radiusOf(scene, camera, place) + 3.5);
  context.setLineDash([3, 2]);
  context.strokeStyle = theme.ink;
  context.lineWidth = 1.4;
  context.stroke(path);
  context.setLineDash([]);
}
