// Rows of the heatmap: one for each feature over all its positions, then one for the error nodes of each layer.
import { KINDS, type Nodes } from "../shared/session";

export interface Rows {
  count: number;
  /** The first so many are features, ascending by layer and index; the others are errors, ascending by layer. */
  features: number;
  layer: Int32Array;
  /** -1 for errors. */
  feature: Int32Array;
  /** (count + 1) where a row's nodes begin in `nodes`. */
  start: Int32Array;
  /** Nodes by row, then by position. */
  nodes: Int32Array;
  /** Sum over the row's nodes. */
  influence: Float64Array;
  /** Position of the row's first node. */
  first: Int32Array;
}

const ERROR = KINDS.indexOf("error");

export function buildRows(nodes: Nodes): Rows {
  const { kind, layer, position, feature } = nodes;
  const inside = Int32Array.from({ length: nodes.count }, (_, node) => node).filter((node) => kind[node] <= ERROR);
  inside.sort(
    (a, b) => kind[a] - kind[b] || layer[a] - layer[b] || feature[a] - feature[b] || position[a] - position[b],
  );
  const starts: number[] = [];
  for (let i = 0; i < inside.length; i++) {
    const [before, node] = [inside[i - 1], inside[i]];
    const same =
      i > 0 && (["kind", "layer", "feature"] as const).every((name) => nodes[name][before] === nodes[name][node]);
    if (!same) starts.push(i);
  }
  const firsts = starts.map((i) => inside[i]);
  const start = Int32Array.from([...starts, inside.length]);
  const influence = new Float64Array(starts.length);
  for (let row = 0; row < starts.length; row++) {
    for (let i = start[row]; i < start[row + 1]; i++) influence[row] += nodes.influence[inside[i]];
  }
  return {
    count: starts.length,
    features: firsts.filter((node) => kind[node] !== ERROR).length,
    layer: Int32Array.from(firsts, (node) => layer[node]),
    feature: Int32Array.from(firsts, (node) => feature[node]),
    start,
    nodes: inside,
    influence,
    first: Int32Array.from(firsts, (node) => position[node]),
  };
}

/** The nodes of a row. */
export const nodesOf = (rows: Rows, row: number): Int32Array =>
  rows.nodes.subarray(rows.start[row], rows.start[row + 1]);

/** The node of a row at a position; -1 where there is none. */
export function nodeAt(rows: Rows, row: number, position: number, nodes: Nodes): number {
  let [low, high] = [rows.start[row], rows.start[row + 1]];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (nodes.position[rows.nodes[middle]] < position) low = middle + 1;
    else high = middle;
  }
  const node = rows.nodes[low];
  return low < rows.start[row + 1] && nodes.position[node] === position ? node : -1;
}
