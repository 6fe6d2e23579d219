// What stands out from the pictures: edges of what is looked at, a path, a brush.
import type { Theme } from "../shared/theme";
import type { Camera } from "./camera";
import { edgesOf, type Scene, type Sight } from "./scene";
import { bend, strokes } from "./stroke";

/** Edges that are drawn of one place, its strongest, and of all together. */
const [OF_ONE, OF_ALL] = [400, 2000];

/** Strokes some edges, which come by growing |share|, at once. */
export function paintEdges(
  context: CanvasRenderingContext2D,
  scene: Scene,
  sight: Sight,
  camera: Camera,
  theme: Theme,
  edges: Iterable<number>,
): void {
  for (const _ of strokes(context, scene, sight, camera.fixed, theme.dark, edges, scene.source.length));
}

/** The strongest edges of these places, by growing |share|. */
export function edgesOfAll(scene: Scene, sight: Sight, places: number[]): number[] {
  const edges = new Set<number>();
  for (const place of places) {
    let left = OF_ONE;
    for (const edge of edgesOf(scene, place)) {
      if (edge < sight.from || !left-- || edges.size >= OF_ALL) break;
      edges.add(edge);
    }
  }
  return [...edges].sort((a, b) => a - b);
}

export function paintRoute(
  context: CanvasRenderingContext2D,
  scene: Scene,
  camera: Camera,
  theme: Theme,
  nodes: number[],
): void {
  context.strokeStyle = theme.accent;
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.beginPath();
  const { x, y } = scene.drawn;
  nodes
    .map((node) => scene.place[node])
    .filter((place) => place >= 0)
    .map((place): [number, number] => [camera.toX(x[place]), camera.toY(y[place])])
    .forEach((at, i, all) => {
      if (i) bend(context, ...all[i - 1], ...at);
    });
  context.stroke();
}

export function paintBrush(
  context: CanvasRenderingContext2D,
  theme: Theme,
  [x1, y1, x2, y2]: [number, number, number, number],
): void {
  context.fillStyle = theme.accent;
  context.strokeStyle = theme.accent;
  context.globalAlpha = 0.15;
  context.fillRect(x1, y1, x2 - x1, y2 - y1);
  context.globalAlpha = 1;
  context.lineWidth = 1;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
}
