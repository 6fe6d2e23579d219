// Draws the part of the heatmap that is in sight.
import type { Surface } from "../shared/canvas";
import { show } from "../shared/session";
import type { Theme } from "../shared/theme";
import { elide } from "./elide";
import { type Layout, ROW, type Scroll, visible, visibleColumns } from "./geometry";
import { Palette, share } from "./scale";
import type { Region, Sheet } from "./sheet";

/** What is only seen. */
export interface Seen {
  hover: { row: number; column: number };
  cursor: { row: number; column: number };
  /** The rectangle that is being dragged. */
  brush?: Region;
  focused: boolean;
}

const FAINT = 0.22;
const GAP = 1;

export class Painter {
  #palette: Palette | undefined;
  #shape = "";
  readonly #fitted = new Map<string, string>();

  constructor(private readonly sheet: Sheet) {}

  paint(on: Surface, layout: Layout, scroll: Scroll, theme: Theme, seen: Seen): void {
    const shape = `${this.sheet.scale.signed} ${theme.dark}`;
    if (shape !== this.#shape) [this.#palette, this.#shape] = [new Palette(this.sheet.scale.signed, theme.dark), shape];
    const view = new Frame(this.sheet, on, layout, scroll, theme, seen, this.#palette!, this.#fitted);
    view.paint();
  }
}

class Frame {
  readonly context: CanvasRenderingContext2D;

  constructor(
    readonly sheet: Sheet,
    readonly on: Surface,
    readonly layout: Layout,
    readonly scroll: Scroll,
    readonly theme: Theme,
    readonly seen: Seen,
    readonly palette: Palette,
    readonly fitted: Map<string, string>,
  ) {
    this.context = on.context;
  }

  x = (column: number): number => this.layout.left + column * this.layout.column - this.scroll.left;
  y = (place: number): number => this.layout.top + place * ROW - this.scroll.top;

  paint(): void {
    const { context, sheet, on, layout } = this;
    const [first, last] = visible(layout, this.scroll);
    const clipped = (x: number, y: number, width: number, height: number, draw: () => void) => {
      context.save();
      context.beginPath();
      context.rect(x, y, width, height);
      context.clip();
      draw();
      context.restore();
    };
    const rows: number[] = [];
    for (let place = first; place < last; place++) rows.push(place);
    const { left, top } = layout;
    clipped(left, top, on.width - left, on.height - top, () => {
      this.#bands();
      for (const place of rows) if (sheet.items[place] >= 0) this.#cells(place, sheet.items[place]);
      this.#marks();
    });
    clipped(0, top, on.width, on.height - top, () => {
      for (const place of rows) this.#header(place, this.y(place));
      if (sheet.model.get("grouped") && rows.length && this.scroll.top > 0) this.#sticky(first);
    });
    clipped(0, 0, on.width, top, () => this.#tokens());
    context.fillStyle = this.theme.line;
    context.fillRect(0, top - 1, on.width, 1);
  }

  /** The row and the column under the pointer. */
  #bands(): void {
    const { context, seen, layout, on, sheet } = this;
    context.fillStyle = this.theme.dark ? "rgba(255,255,255,0.07)" : "rgba(0,0,0,0.05)";
    const place = seen.hover.row < 0 ? -1 : sheet.places[seen.hover.row];
    if (place >= 0) context.fillRect(layout.left, this.y(place), layout.columns * layout.column, ROW);
    if (seen.hover.column >= 0) context.fillRect(this.x(seen.hover.column), layout.top, layout.column, on.height);
  }

  #cells(place: number, row: number): void {
    const { context, sheet, layout, scroll, palette } = this;
    const [from, to] = visibleColumns(layout, scroll);
    const { position } = sheet.session.nodes;
    const { scale } = sheet;
    const [y, width, height] = [this.y(place) + GAP, layout.column - GAP, ROW - 2 * GAP];
    const errors: number[] = [];
    context.fillStyle = this.theme.dark ? "rgba(255,255,255,0.035)" : "rgba(0,0,0,0.025)";
    context.fillRect(this.x(from), y, (to - from) * layout.column - GAP, height);
    for (const node of sheet.nodes(row)) {
      const column = position[node];
      if (column < from || column >= to) continue;
      const value = scale.values[node];
      const x = this.x(column);
      context.globalAlpha = sheet.passes(node) ? 1 : FAINT;
      if (!Number.isNaN(value)) {
        context.fillStyle = palette.at(share(value, scale));
        context.fillRect(x, y, width, height);
      }
      if (sheet.isError(row)) errors.push(x);
    }
    context.globalAlpha = 1;
    const coloured = scale.colour === "influence";
    if (errors.length) this.#hatch(errors, y, width, height, coloured ? this.theme.paper : this.theme.line);
  }

  /** Slanted lines over errors, so that they are not taken for features. */
  #hatch(starts: number[], y: number, width: number, height: number, colour: string): void {
    const { context } = this;
    context.save();
    context.beginPath();
    for (const x of starts) context.rect(x, y, width, height);
    context.clip();
    context.beginPath();
    const [from, to] = [Math.min(...starts) - height, Math.max(...starts) + width];
    for (let x = from - (from % 5); x < to; x += 5) {
      context.moveTo(x, y + height);
      context.lineTo(x + height, y);
    }
    context.strokeStyle = colour;
    context.lineWidth = 1.2;
    context.stroke();
    context.restore();
  }

  /** Selected and pinned cells, the brush, the cursor. */
  #marks(): void {
    const { context, sheet, layout, seen, theme } = this;
    const { position } = sheet.session.nodes;
    const [first, last] = visible(layout, this.scroll);
    for (let place = first; place < last; place++) {
      const row = sheet.items[place];
      if (row < 0) continue;
      for (const node of sheet.nodes(row)) {
        const [x, y] = [this.x(position[node]), this.y(place)];
        if (sheet.selected.has(node)) this.#frame(x, y);
        if (sheet.pinned.has(node)) this.#pin(x + layout.column - 6, y + 6);
      }
    }
    if (seen.brush) {
      const { items, columns } = seen.brush;
      const [x, y] = [this.x(Math.min(...columns)), this.y(Math.min(...items))];
      const width = this.x(Math.max(...columns) + 1) - x;
      const height = this.y(Math.max(...items) + 1) - y;
      context.strokeStyle = theme.accent;
      context.lineWidth = 1;
      context.setLineDash([4, 3]);
      context.strokeRect(x - 0.5, y - 0.5, width, height);
      context.setLineDash([]);
    }
    const place = sheet.places[seen.cursor.row] ?? -1;
    if (seen.focused && place >= 0) {
      context.strokeStyle = theme.accent;
      context.lineWidth = 2;
      context.strokeRect(this.x(seen.cursor.column) + 3, this.y(place) + 3.5, layout.column - 7, ROW - 7);
    }
  }

  #frame(x: number, y: number): void {
    const { context, layout, theme } = this;
    for (const [colour, width] of [
      [theme.paper, 3.5],
      [theme.ink, 1.6],
    ] as const) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(x, y + 0.5, layout.column - 1, ROW - 1);
    }
  }

  #pin(x: number, y: number): void {
    const { context, theme } = this;
    context.beginPath();
    context.arc(x, y, 2.6, 0, 7);
    context.fillStyle = theme.ink;
    context.strokeStyle = theme.paper;
    context.lineWidth = 1.5;
    context.stroke();
    context.fill();
  }

  #header(place: number, y: number): void {
    const { context, sheet, layout, theme, on } = this;
    const item = sheet.items[place];
    context.textBaseline = "middle";
    context.textAlign = "left";
    if (item < 0) {
      context.fillStyle = theme.paper;
      context.fillRect(0, y, on.width, ROW);
      context.font = `600 11px ${theme.font}`;
      context.fillStyle = theme.ink;
      const text = `Layer ${~item}`;
      context.fillText(text, 8, y + ROW / 2 + 1);
      context.fillStyle = theme.line;
      context.fillRect(8 + context.measureText(text).width + 8, Math.round(y + ROW / 2), on.width, 1);
      return;
    }
    context.fillStyle = theme.paper;
    context.fillRect(0, y, layout.left, ROW);
    if (this.seen.hover.row === item) {
      context.fillStyle = theme.raised;
      context.fillRect(0, y, layout.left - 2, ROW);
    }
    const nodes = sheet.nodes(item);
    if (nodes.some((node) => sheet.selected.has(node))) {
      context.fillStyle = theme.ink;
      context.fillRect(0, y + 1, 3, ROW - 2);
    }
    if (nodes.some((node) => sheet.pinned.has(node))) this.#pin(10, y + ROW / 2);
    this.#title(item, y + ROW / 2 + 1);
  }

  /** Label and name of a row. */
  #title(row: number, middle: number): void {
    const { context, sheet, layout, theme } = this;
    const label = sheet.label(row);
    const grouped = sheet.model.get("grouped");
    const name = grouped ? sheet.name(row).replace(/^L\d+ /, "") : sheet.name(row);
    const error = sheet.isError(row);
    const right = layout.left - 10;
    context.font = `${error ? "italic " : ""}11px ${theme.font}`;
    context.fillStyle = theme.muted;
    if (!label) {
      context.textAlign = "right";
      context.fillText(elide(context, name, right - 16, this.fitted), right, middle);
      return;
    }
    const width = context.measureText(name).width;
    context.textAlign = "right";
    context.fillText(name, right, middle);
    context.textAlign = "left";
    context.font = `12px ${theme.font}`;
    context.fillStyle = theme.ink;
    context.fillText(elide(context, label, right - width - 28, this.fitted), 18, middle);
  }

  /** The heading of the layer at the top, which stays while its rows scroll by. */
  #sticky(first: number): void {
    const { sheet, layout } = this;
    const place = sheet.section(sheet.layer(first))[0];
    this.#header(place, layout.top);
  }

  #tokens(): void {
    const { context, sheet, layout, theme, seen, on } = this;
    const { tokens } = sheet.session.meta;
    const [from, to] = visibleColumns(layout, this.scroll);
    context.fillStyle = theme.paper;
    context.fillRect(0, 0, on.width, layout.top);
    context.save();
    context.beginPath();
    context.rect(layout.left - 4, 0, on.width, layout.top);
    context.clip();
    context.textBaseline = "middle";
    for (let column = Math.max(0, from - 3); column < to; column++) {
      const strong = column === seen.hover.column;
      context.font = `${strong ? "600 " : ""}12px ${theme.font}`;
      context.fillStyle = theme.ink;
      const text = show(tokens[column]);
      const x = this.x(column) + layout.column / 2;
      if (!layout.slanted) {
        context.textAlign = "center";
        context.fillText(text, x, layout.top - 11);
        continue;
      }
      context.save();
      context.translate(x - 2, layout.top - 7);
      context.rotate(-Math.PI / 4);
      context.textAlign = "left";
      context.fillText(elide(context, text, (layout.top - 14) * Math.SQRT2, this.fitted), 0, 0);
      context.restore();
    }
    context.restore();
  }
}
