// The pinned nodes as boxes, one for each group and one for each node in none: their edges and their first places.
import type { Notes } from "../shared/session";

export interface Box {
  /** A node, or a group's name. */
  key: number | string;
  nodes: number[];
}

/** Edges between nodes, as parallel arrays. */
export interface Edges {
  source: ArrayLike<number>;
  target: ArrayLike<number>;
  weight: ArrayLike<number>;
}

/** An edge between boxes, by their places in the list. */
export interface Between {
  source: number;
  target: number;
  /** Sum over the members. */
  weight: number;
  /** The weight as part of all that comes into the target's members, in absolute terms. */
  share: number;
}

export function boxes(notes: Notes): Box[] {
  const grouped = new Set(notes.supernodes.flatMap(([, nodes]) => nodes));
  return [
    ...notes.supernodes.map(([key, nodes]) => ({ key, nodes })),
    ...notes.pinned.filter((node) => !grouped.has(node)).map((node) => ({ key: node, nodes: [node] })),
  ];
}

/** Sums edges over boxes; `incoming` is a node's sum of |weight| over all of its inputs. By growing |share|. */
export function between(list: Box[], edges: Edges, incoming: ArrayLike<number>): Between[] {
  const box = new Map(list.flatMap(({ nodes }, i) => nodes.map((node) => [node, i])));
  const total = list.map(({ nodes }) => nodes.reduce((sum, node) => sum + incoming[node], 0));
  const sums = new Map<number, number>();
  for (let e = 0; e < edges.source.length; e++) {
    const [source, target] = [box.get(edges.source[e]), box.get(edges.target[e])];
    if (source === undefined || target === undefined || source === target) continue;
    const key = source * list.length + target;
    sums.set(key, (sums.get(key) ?? 0) + edges.weight[e]);
  }
  return [...sums]
    .map(([key, weight]) => {
      const [source, target] = [Math.floor(key / list.length), key % list.length];
      return { source, target, weight, share: weight / total[target] };
    })
    .sort((a, b) => Math.abs(a.share) - Math.abs(b.share));
}

export interface Size {
  width: number;
  height: number;
}

const [GAP_X, GAP_Y] = [18, 34];

/** First places (middles) of boxes: a row for each layer from the bottom, by the wanted x, none over another.
 *
 * @param layers of each box
 * @param wanted x of each box, 0 to 1
 */
export function arrange(layers: number[], wanted: number[], sizes: Size[], width: number): [number, number][] {
  const rows = [...new Set(layers)].sort((a, b) => b - a);
  const out: [number, number][] = layers.map(() => [0, 0]);
  let top = GAP_Y / 2;
  for (const layer of rows) {
    const row = layers.flatMap((own, i) => (own === layer ? [i] : [])).sort((a, b) => wanted[a] - wanted[b]);
    const height = Math.max(...row.map((i) => sizes[i].height));
    const xs = spread(
      row.map((i) => wanted[i] * width),
      row.map((i) => sizes[i].width + GAP_X),
      width,
    );
    row.forEach((i, n) => {
      out[i] = [xs[n], top + height / 2];
    });
    top += height + GAP_Y;
  }
  return out;
}

/** Middles near the wanted ones (ascending) of intervals that do not overlap, from 0, within `width` if they can be. */
function spread(wanted: number[], widths: number[], width: number): number[] {
  const out: number[] = [];
  let end = 0;
  wanted.forEach((x, i) => {
    out.push(Math.max(x, end + widths[i] / 2));
    end = out[i] + widths[i] / 2;
  });
  let limit = Math.max(
    width,
    widths.reduce((sum, own) => sum + own, 0),
  );
  for (let i = out.length - 1; i >= 0; i--) {
    out[i] = Math.min(out[i], limit - widths[i] / 2);
    limit = out[i] - widths[i] / 2;
  }
  return out;
}

/** A place for a new box: the wanted one, or the nearest below or beside at which it covers no other. */
export function freePlace(
  wanted: [number, number],
  size: Size,
  taken: { at: [number, number]; size: Size }[],
): [number, number] {
  const free = ([x, y]: [number, number]) =>
    taken.every(
      ({ at, size: other }) =>
        Math.abs(at[0] - x) >= (size.width + other.width) / 2 + 6 ||
        Math.abs(at[1] - y) >= (size.height + other.height) / 2 + 6,
    );
  for (let ring = 0; ring < 60; ring++) {
    for (let i = 0; i <= 2 * ring; i++) {
      const [dx, dy] = [i <= ring ? ring : 2 * ring - i, Math.min(i, ring)];
      for (const sx of dx ? [1, -1] : [1]) {
        const at: [number, number] = [wanted[0] + sx * dx * 24, wanted[1] + dy * 24];
        if (at[0] >= size.width / 2 && free(at)) return at;
      }
    }
  }
  return wanted;
}
