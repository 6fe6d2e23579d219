// What the heatmap shows now: rows that pass, in order, and the colour of every node.
import type { AnyModel } from "@anywidget/types";
import type { Filter } from "../shared/filter";
import type { Session } from "../shared/session";
import { arrange, type Sort } from "./order";
import { buildRows, nodeAt, nodesOf, type Rows } from "./rows";
import { type Colour, type Scale, scaleOf } from "./scale";

/** The twin of `ui/heatmap.py`. */
export interface Traits {
  sort: Sort;
  colour: Colour;
  show: Show;
  errors: boolean;
  grouped: boolean;
  height: number;
}

export const SHOWS = ["influence", "circuit", "all"] as const;
export type Show = (typeof SHOWS)[number];

/** Rows by place in the order, and columns; both ends belong to it. */
export interface Region {
  items: [number, number];
  columns: [number, number];
}

export class Sheet {
  readonly rows: Rows;
  readonly columns: number;
  /** Rows in order, and headings; see `arrange`. */
  items: Int32Array = new Int32Array();
  /** (rows) place of a row in `items`, -1 where it is not shown. */
  places = new Int32Array();
  /** Feature rows that are shown. */
  count = 0;
  scale: Scale;
  selected = new Set<number>();
  pinned = new Set<number>();
  /** (positions) influence of all nodes at a token. */
  readonly influence: Float64Array;
  similar: Int32Array | undefined;
  /** (nodes) 1 where the filter and the circuit let a node through; the cells of others are faint. */
  #passing = new Uint8Array();

  constructor(
    readonly session: Session,
    readonly model: AnyModel<Traits>,
  ) {
    this.rows = buildRows(session.nodes);
    this.columns = session.meta.n_positions;
    this.influence = new Float64Array(this.columns);
    const { position, influence, count } = session.nodes;
    for (let node = 0; node < count; node++) this.influence[position[node]] += influence[node];
    this.scale = scaleOf(session, this.rows, model.get("colour"));
  }

  /** After a change of values. */
  recolour(): void {
    this.scale = scaleOf(this.session, this.rows, this.model.get("colour"));
  }

  /** After a change of selection or annotations. */
  mark(): void {
    this.selected = new Set(this.session.get("selected"));
    this.pinned = new Set(this.session.get("notes").pinned);
  }

  /** After a change of what is shown or of its order. */
  rearrange(filter: Filter): void {
    const { rows, session, model } = this;
    const show = model.get("show");
    const kept = show === "circuit" ? new Set(session.drawn.kept) : undefined;
    this.#passing = new Uint8Array(session.nodes.count);
    for (const node of rows.nodes) {
      this.#passing[node] = Number((kept?.has(node) ?? true) && filter.matches(node));
    }
    const errors = model.get("errors");
    const shown = (row: number) =>
      (errors || row < rows.features) &&
      (show !== "influence" || rows.influence[row] > 0) &&
      nodesOf(rows, row).some((node) => this.#passing[node]);
    const order = { sort: model.get("sort"), grouped: model.get("grouped"), similar: this.similar };
    this.items = arrange(rows, shown, order);
    this.places = new Int32Array(rows.count).fill(-1);
    this.count = 0;
    this.items.forEach((item, place) => {
      if (item < 0) return;
      this.places[item] = place;
      this.count += Number(item < rows.features);
    });
  }

  passes(node: number): boolean {
    return this.#passing[node] === 1;
  }

  isError(row: number): boolean {
    return row >= this.rows.features;
  }

  node(row: number, column: number): number {
    return nodeAt(this.rows, row, column, this.session.nodes);
  }

  nodes(row: number): Int32Array {
    return nodesOf(this.rows, row);
  }

  /** What people call a row: the label of its first labelled node. */
  label(row: number): string {
    for (const node of this.nodes(row)) {
      const label = this.session.label(node);
      if (label) return label;
    }
    return "";
  }

  name(row: number): string {
    return this.isError(row) ? `L${this.rows.layer[row]} error` : `L${this.rows.layer[row]} #${this.rows.feature[row]}`;
  }

  /** The longest label among the rows that are shown, in characters. */
  longest(): number {
    let longest = 0;
    for (const item of this.items) if (item >= 0) longest = Math.max(longest, this.label(item).length);
    return longest;
  }

  /** The layer that an item belongs to. */
  layer(place: number): number {
    const item = this.items[place];
    return item < 0 ? ~item : this.rows.layer[item];
  }

  /** The rows between a layer's heading and the next, with both ends. */
  section(layer: number): [number, number] {
    const first = this.items.indexOf(~layer);
    let last = first;
    while (last + 1 < this.items.length && this.items[last + 1] >= 0) last++;
    return [first, last];
  }

  /** The nodes in a region; those that do not pass only where `all` says so. */
  within({ items, columns }: Region, all: boolean): number[] {
    const found: number[] = [];
    const { position } = this.session.nodes;
    for (let place = Math.min(...items); place <= Math.max(...items); place++) {
      if (!(this.items[place] >= 0)) continue; // a heading, or beyond the rows
      for (const node of this.nodes(this.items[place])) {
        const inside = position[node] >= Math.min(...columns) && position[node] <= Math.max(...columns);
        if (inside && (all || this.passes(node))) found.push(node);
      }
    }
    return found;
  }
}
