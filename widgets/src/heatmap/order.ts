// In which order rows stand, with the headings of layers between them.
import type { Rows } from "./rows";

export const SORTS = ["influence", "first_token", "layer", "similarity"] as const;
export type Sort = (typeof SORTS)[number];

/** A row, or the heading of a layer as `~layer`. */
export type Item = number;

export interface Order {
  sort: Sort;
  /** Under headings by layer. */
  grouped: boolean;
  /** Feature rows so that similar ones are together; what the kernel answers. */
  similar?: Int32Array;
}

/** Rows that are shown, in order; errors stand behind the features, of their layer where rows are grouped. */
export function arrange(rows: Rows, shown: (row: number) => boolean, order: Order): Int32Array {
  const ranks = new Int32Array(rows.count);
  if (order.sort === "similarity")
    order.similar?.forEach((row, rank) => {
      ranks[row] = rank;
    });
  const by: Record<Sort, (a: number, b: number) => number> = {
    influence: (a, b) => rows.influence[b] - rows.influence[a],
    first_token: (a, b) => rows.first[a] - rows.first[b] || rows.influence[b] - rows.influence[a],
    layer: (a, b) => rows.layer[a] - rows.layer[b] || rows.feature[a] - rows.feature[b],
    similarity: (a, b) => ranks[a] - ranks[b],
  };
  const within = by[order.sort];
  const error = (row: number) => Number(row >= rows.features);
  const sorted = Int32Array.from({ length: rows.count }, (_, row) => row)
    .filter(shown)
    .sort(
      (a, b) => (order.grouped ? rows.layer[a] - rows.layer[b] : 0) || error(a) - error(b) || within(a, b) || a - b,
    );
  if (!order.grouped) return sorted;
  const items: Item[] = [];
  sorted.forEach((row, i) => {
    if (i === 0 || rows.layer[row] !== rows.layer[sorted[i - 1]]) items.push(~rows.layer[row]);
    items.push(row);
  });
  return Int32Array.from(items);
}
