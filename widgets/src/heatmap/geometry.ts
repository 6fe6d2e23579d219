// Where things are: sizes from the room there is, which rows are in sight, and what lies under a point.

export const ROW = 18;
const [NARROW, WIDE] = [20, 84];
const SLANTED_END = 52; // the last slanted token reaches beyond its column

export interface Layout {
  /** Width of the row headers and height of the tokens above the columns. */
  left: number;
  top: number;
  /** Width of a column, in whole pixels so that cells are sharp. */
  column: number;
  columns: number;
  items: number;
  /** Tokens stand at an angle because they are wider than their columns. */
  slanted: boolean;
  /** Of all there is to scroll over. */
  width: number;
  height: number;
}

/** A part of the heatmap: a cell, or a header; `item` or `column` is -1 where the part has none. */
export interface Hit {
  part: "cell" | "row" | "column";
  item: number;
  column: number;
}

export interface Scroll {
  left: number;
  top: number;
  width: number;
  height: number;
}

/**
 * @param width the room in pixels
 * @param header width that the longest row header would like
 * @param token width of the widest token's text
 */
export function layOut(width: number, columns: number, items: number, header: number, token: number): Layout {
  const left = Math.round(Math.min(Math.max(header, 84), 280, 0.3 * width));
  const fitting = Math.floor((width - left - 12) / Math.max(columns, 1));
  const flat = Math.min(WIDE, fitting) >= token + 8;
  const room = flat ? fitting : Math.floor((width - left - SLANTED_END) / Math.max(columns, 1));
  const column = Math.min(WIDE, Math.max(NARROW, room));
  const top = flat ? 24 : Math.round(Math.min(76, token * Math.SQRT1_2) + 16);
  const end = flat ? 12 : SLANTED_END;
  return {
    left,
    top,
    column,
    columns,
    items,
    slanted: !flat,
    width: left + columns * column + end,
    height: top + items * ROW + 4,
  };
}

/** Items in sight, from the first to before the last. */
export function visible(layout: Layout, scroll: Scroll): [number, number] {
  const first = Math.max(0, Math.floor(scroll.top / ROW));
  return [first, Math.min(layout.items, Math.ceil((scroll.top + scroll.height - layout.top) / ROW))];
}

/** Columns in sight, likewise. */
export function visibleColumns(layout: Layout, scroll: Scroll): [number, number] {
  const first = Math.max(0, Math.floor(scroll.left / layout.column));
  return [first, Math.min(layout.columns, Math.ceil((scroll.left + scroll.width - layout.left) / layout.column))];
}

/** What lies at a point of the visible part; undefined beside everything. */
export function hit(layout: Layout, scroll: Scroll, x: number, y: number): Hit | undefined {
  const item = y < layout.top ? -1 : Math.floor((y - layout.top + scroll.top) / ROW);
  const column = x < layout.left ? -1 : Math.floor((x - layout.left + scroll.left) / layout.column);
  if (item >= layout.items || column >= layout.columns || (item < 0 && column < 0)) return undefined;
  return { part: item < 0 ? "column" : column < 0 ? "row" : "cell", item, column };
}

/** The nearest cell to a point, for a brush that has left the cells. */
export function nearest(layout: Layout, scroll: Scroll, x: number, y: number): { item: number; column: number } {
  const clamp = (value: number, count: number) => Math.min(Math.max(Math.floor(value), 0), count - 1);
  return {
    item: clamp((y - layout.top + scroll.top) / ROW, layout.items),
    column: clamp((x - layout.left + scroll.left) / layout.column, layout.columns),
  };
}

/** Where to scroll so that a cell is in sight below `above` rows that cover it. */
export function reveal(layout: Layout, scroll: Scroll, item: number, column: number, above = 1): [number, number] {
  const inside = (at: number, size: number, from: number, room: number, covered: number) =>
    Math.max(0, at - covered < from ? at - covered : at + size > from + room ? at + size - room : from);
  return [
    inside(column * layout.column, layout.column, scroll.left, scroll.width - layout.left, 0),
    inside(item * ROW, ROW, scroll.top, scroll.height - layout.top, above * ROW),
  ];
}
