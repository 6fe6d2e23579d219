// What a user does: move the cursor, select, pin, filter by a token, change how rows are sorted and coloured.
import type { How } from "./pointer";
import type { Region, Sheet, Traits } from "./sheet";

export interface Cell {
  row: number;
  column: number;
}

/** The filter with or without the condition to be at a position: the last token that was clicked. */
export function toggleToken(filter: string, position: number): string {
  const [, inner = "", only = "", before] = /^(?:\((.*)\) & )?(position=(\d+))$/s.exec(filter) ?? [];
  const rest = only ? inner : filter.trim();
  if (Number(before) === position) return rest;
  return rest ? `(${rest}) & position=${position}` : `position=${position}`;
}

export class Actions {
  /** Where the keyboard is. */
  cursor: Cell = { row: -1, column: -1 };
  #anchor: Cell = { row: -1, column: 0 };

  constructor(private readonly sheet: Sheet) {}

  /** The cursor so many rows and columns on, past headings; it stays where there is nothing. */
  move(rows: number, columns: number, extending = false): Cell {
    const { sheet, cursor } = this;
    const step = Math.sign(rows) || 1;
    const last = sheet.items.length - 1;
    const from = sheet.places[cursor.row] ?? -1;
    let place = Math.min(Math.max(from + rows, 0), last);
    while (sheet.items[place] < 0 && place + step >= 0 && place + step <= last) place += step;
    while (sheet.items[place] < 0 && place < last) place++; // the first item is a heading
    const column = Math.min(Math.max(cursor.column + columns, 0), sheet.columns - 1);
    if (sheet.items[place] >= 0) this.cursor = { row: sheet.items[place], column };
    if (!extending || this.#anchor.row < 0) this.#anchor = this.cursor;
    return this.cursor;
  }

  /** Selects what is in a region; `end` is the cell that it was drawn to, or from. */
  select(region: Region, how: How, whole: boolean, end: Cell): void {
    const { sheet } = this;
    const before = [...sheet.selected];
    let found = sheet.within(region, whole);
    const from = sheet.places[this.#anchor.row] ?? -1;
    if (how === "extend" && from >= 0) {
      const items: [number, number] = [Math.min(from, ...region.items), Math.max(from, ...region.items)];
      const across = [this.#anchor.column, ...region.columns];
      found = sheet.within({ items, columns: [Math.min(...across), Math.max(...across)] }, false);
    } else this.#anchor = end;
    if (end.row >= 0) this.cursor = { row: end.row, column: Math.max(end.column, 0) };
    const has = new Set(found);
    const all = found.every((node) => sheet.selected.has(node));
    if (how === "add" || (how === "toggle" && !all)) found = [...new Set([...before, ...found])];
    else if (how === "toggle") found = before.filter((node) => !has.has(node));
    if (found.length !== before.length || found.some((node) => !sheet.selected.has(node))) {
      sheet.session.set({ selected: found });
    }
  }

  /** The cell under the cursor, or with shift all from the anchor to it. */
  selectCursor(how: How): void {
    const { row, column } = this.cursor;
    const place = this.sheet.places[row] ?? -1;
    if (place >= 0) this.select({ items: [place, place], columns: [column, column] }, how, true, { row, column });
  }

  clear(): void {
    if (this.sheet.selected.size) this.sheet.session.set({ selected: [] });
  }

  /** Pins the node under the cursor, or takes its pin away; of an empty cell all nodes of the row. */
  pin(): void {
    const { sheet, cursor } = this;
    if (cursor.row < 0) return;
    const node = sheet.node(cursor.row, cursor.column);
    const nodes = node >= 0 ? [node] : [...sheet.nodes(cursor.row)];
    const all = nodes.every((each) => sheet.pinned.has(each));
    const others = sheet.session.get("notes").pinned.filter((each) => !nodes.includes(each));
    sheet.session.annotate({ pinned: all ? others : [...others, ...nodes] });
  }

  set<K extends keyof Traits>(name: K, value: Traits[K]): void {
    const { model } = this.sheet;
    model.set(name, value);
    model.save_changes();
  }

  /** The value after the current one. */
  cycle<K extends "sort" | "colour" | "show">(name: K, values: readonly Traits[K][]): void {
    const next = values[(values.indexOf(this.sheet.model.get(name)) + 1) % values.length];
    this.set(name, next as Traits[K]);
  }
}
