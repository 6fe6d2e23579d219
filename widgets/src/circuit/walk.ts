// Walking the graph by the arrow keys: along a row, and along the strongest edges.
import { edgesOf, type Scene, type Sight } from "./scene";

export type Way = "left" | "right" | "up" | "down";

/** The place that one step leads to; the same place where there is none. From -1, the strongest logit. */
export function step(scene: Scene, sight: Sight, from: number, way: Way): number {
  if (from < 0 || !sight.seen[from]) return start(scene, sight);
  if (way === "left" || way === "right") return along(scene, sight, from, way === "left" ? -1 : 1);
  const [here, there] = way === "up" ? [scene.source, scene.target] : [scene.target, scene.source];
  for (const edge of edgesOf(scene, from)) {
    if (edge < sight.from) break;
    if (here[edge] === from && sight.seen[there[edge]] === 2) return there[edge];
  }
  return from;
}

function along(scene: Scene, sight: Sight, from: number, sign: number): number {
  const { x, y } = scene.drawn;
  let [best, least] = [from, Number.POSITIVE_INFINITY];
  for (let i = 0; i < x.length; i++) {
    const distance = sign * (x[i] - x[from]);
    if (y[i] === y[from] && distance > 0 && distance < least && sight.seen[i] === 2) [best, least] = [i, distance];
  }
  return best;
}

function start(scene: Scene, sight: Sight): number {
  let best = -1;
  for (let i = 0; i < scene.node.length; i++) {
    if (!sight.seen[i]) continue;
    const better =
      best < 0 ||
      sight.seen[i] > sight.seen[best] ||
      (sight.seen[i] === sight.seen[best] &&
        (scene.kind[i] > scene.kind[best] || (scene.kind[i] === scene.kind[best] && scene.size[i] > scene.size[best])));
    if (better) best = i;
  }
  return best;
}
