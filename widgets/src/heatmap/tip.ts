// What is told of a cell, a row or a column: in the box at the pointer and to assistive technology.
import { h } from "../shared/dom";
import { number } from "../shared/number";
import { show } from "../shared/session";
import type { Sheet } from "./sheet";

const quoted = (sheet: Sheet, column: number): string => `“${show(sheet.session.meta.tokens[column] ?? "")}”`;

/** Name and number of what is known of a node. */
function quantities({ session, scale }: Sheet, node: number): [string, string][] {
  const { activation, influence } = session.nodes;
  const effect = session.overlay && session.kind(node) === "feature" ? session.overlay.values[node] : undefined;
  const found: [string, string][] = [];
  if (!Number.isNaN(activation[node])) found.push(["activation", number(activation[node])]);
  found.push(["influence", number(influence[node])]);
  if (effect !== undefined) found.push(["effect", signed(effect)]);
  return found.sort((a, b) => Number(b[0] === scale.colour) - Number(a[0] === scale.colour));
}

export const signed = (value: number): string => `${value > 0 ? "+" : value < 0 ? "−" : ""}${number(Math.abs(value))}`;

const states = (sheet: Sheet, node: number): string[] =>
  [sheet.selected.has(node) && "selected", sheet.pinned.has(node) && "pinned"].filter((state) => state !== false);

/** The box's content; empty where there is nothing to tell. */
export function tip(sheet: Sheet, row: number, column: number): Node[] {
  if (row < 0) {
    if (column < 0) return [];
    return [
      h("strong", {}, quoted(sheet, column)),
      h("div", { class: "gc-muted" }, `position ${column}, influence ${number(sheet.influence[column])}`),
    ];
  }
  const node = column < 0 ? -1 : sheet.node(row, column);
  const label = node < 0 ? sheet.label(row) : sheet.session.label(node) || sheet.label(row);
  const head = [h("strong", {}, label || sheet.name(row)), label && h("div", { class: "gc-muted" }, sheet.name(row))];
  if (column < 0) {
    const count = sheet.nodes(row).length;
    const told = `influence ${number(sheet.rows.influence[row])} at ${count} token${count === 1 ? "" : "s"}`;
    return list(...head, h("div", { class: "gc-muted" }, told));
  }
  const place = h("div", { class: "gc-muted" }, `at ${quoted(sheet, column)}, position ${column}`);
  if (node < 0) return list(...head, place, h("div", { class: "gc-muted" }, "not active"));
  const numbers = quantities(sheet, node).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
  const state = states(sheet, node).join(", ");
  return list(...head, place, h("dl", {}, ...numbers), state && h("div", { class: "gc-muted" }, state));
}

const list = (...parts: (Node | string | false)[]): Node[] =>
  parts.filter((part): part is Node => part instanceof Node);

/** One sentence about a cell, to be read out. */
export function sentence(sheet: Sheet, row: number, column: number): string {
  const node = sheet.node(row, column);
  const label = sheet.label(row);
  const parts = [sheet.name(row), ...(label ? [label] : []), `token ${quoted(sheet, column)}`];
  if (node < 0) return [...parts, "not active"].join(", ");
  const numbers = quantities(sheet, node).map(([name, value]) => `${name} ${value}`);
  return [...parts, ...numbers, ...states(sheet, node)].join(", ");
}
