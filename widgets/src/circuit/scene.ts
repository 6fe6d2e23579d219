// The drawn nodes and edges as the canvas needs them. A place is where a node stands among the drawn ones.
import type { Drawn, Nodes } from "../shared/session";

export interface Scene {
  drawn: Drawn;
  /** (places) the node at each place. */
  node: Int32Array;
  /** (nodes) the place of each node; -1 for those that are not drawn. */
  place: Int32Array;
  /** (places) index into `KINDS`. */
  kind: Uint8Array;
  /** (places) 0 to 1: by area, influence over the strongest feature's or error's; logits by probability. */
  size: Float32Array;
  /** (edges) places of both ends, by growing |share|. */
  source: Int32Array;
  target: Int32Array;
  /** (places + 1) where each place's edges begin in `incident`, which holds edges, by growing |share|. */
  first: Int32Array;
  incident: Int32Array;
}

const [ERROR, TOKEN, LOGIT] = [1, 2, 3];
/** Least size: what is just seen. */
const LEAST = 0.45;

export function makeScene(nodes: Nodes, drawn: Drawn): Scene {
  const count = drawn.kept.length;
  const place = new Int32Array(nodes.count).fill(-1);
  const kind = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    place[drawn.kept[i]] = i;
    kind[i] = nodes.kind[drawn.kept[i]];
  }
  let most = 1e-30;
  for (let i = 0; i < count; i++) if (kind[i] <= ERROR) most = Math.max(most, drawn.influence[i]);
  const size = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const part = kind[i] === LOGIT ? nodes.probability[drawn.kept[i]] : drawn.influence[i] / most;
    size[i] = Math.max(LEAST, Math.sqrt(Math.min(1, part || 0)), kind[i] === TOKEN ? 0.6 : 0);
  }
  const source = drawn.source.map((node) => place[node]);
  const target = drawn.target.map((node) => place[node]);
  const first = new Int32Array(count + 1);
  for (let e = 0; e < source.length; e++) {
    first[source[e] + 1]++;
    first[target[e] + 1]++;
  }
  for (let i = 0; i < count; i++) first[i + 1] += first[i];
  const next = first.slice();
  const incident = new Int32Array(2 * source.length);
  for (let e = 0; e < source.length; e++) {
    incident[next[source[e]]++] = e;
    incident[next[target[e]]++] = e;
  }
  return { drawn, node: drawn.kept, place, kind, size, source, target, first, incident };
}

/** The edges of a place, the strongest first. */
export function* edgesOf(scene: Scene, place: number): Generator<number> {
  for (let i = scene.first[place + 1] - 1; i >= scene.first[place]; i--) yield scene.incident[i];
}

/** What is seen of a scene: filters and switches, as one byte for each place and the first edge that is strong enough. */
export interface Sight {
  /** (places) 0 hidden, 1 dimmed, 2 seen. */
  seen: Uint8Array;
  /** Edges from here on are strong enough. */
  from: number;
}

export function look(scene: Scene, matches: (node: number) => boolean, errors: boolean, leastShare: number): Sight {
  const seen = new Uint8Array(scene.node.length);
  for (let i = 0; i < seen.length; i++) {
    seen[i] = !errors && scene.kind[i] === ERROR ? 0 : matches(scene.node[i]) ? 2 : 1;
  }
  const { share } = scene.drawn;
  let [low, high] = [0, share.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Math.abs(share[middle]) < leastShare) low = middle + 1;
    else high = middle;
  }
  return { seen, from: low };
}
