// The keys of the heatmap.
import { type Shortcut, shortcuts } from "../shared/keys";
import type { Actions } from "./actions";
import { cycles } from "./controls";
import type { Sheet } from "./sheet";

export interface Around {
  /** Rows in sight. */
  page(): number;
  /** The cursor has moved: bring it in sight and say where it is. */
  moved(): void;
  filter: HTMLInputElement;
  byToken(column: number): void;
}

export function keyboard(root: HTMLElement, sheet: Sheet, actions: Actions, around: Around, signal: AbortSignal) {
  const { session } = sheet;
  const go = (rows: number, columns: number) => () => {
    actions.move(rows, columns);
    around.moved();
  };
  const extend = (rows: number, columns: number) => () => {
    actions.move(rows, columns, true);
    actions.selectCursor("extend");
    around.moved();
  };
  const page = (sign: number) => () => go(sign * around.page(), 0)();
  const colours = () => cycles.colour.filter((colour) => colour !== "effect" || session.overlay);
  const list: Shortcut[] = [
    { keys: "ArrowUp", does: "row above", run: go(-1, 0) },
    { keys: "ArrowDown", does: "row below", run: go(1, 0) },
    { keys: "ArrowLeft", does: "token before", run: go(0, -1) },
    { keys: "ArrowRight", does: "token after", run: go(0, 1) },
    { keys: "Home", does: "first token", run: go(0, -sheet.columns) },
    { keys: "End", does: "last token", run: go(0, sheet.columns) },
    { keys: "PageUp", does: "a page up", run: page(-1) },
    { keys: "PageDown", does: "a page down", run: page(1) },
    { keys: "Ctrl+Home", does: "first row", run: () => go(-sheet.items.length, 0)() },
    { keys: "Ctrl+End", does: "last row", run: () => go(sheet.items.length, 0)() },
    { keys: "Enter Space", does: "select", run: () => actions.selectCursor("replace") },
    {
      keys: "Ctrl+Enter Ctrl+Space",
      does: "add to the selection, or take away",
      run: () => actions.selectCursor("toggle"),
    },
    { keys: "Shift+ArrowUp", does: "extend the selection upwards", run: extend(-1, 0) },
    { keys: "Shift+ArrowDown", does: "extend the selection downwards", run: extend(1, 0) },
    { keys: "Shift+ArrowLeft", does: "extend the selection to the left", run: extend(0, -1) },
    { keys: "Shift+ArrowRight", does: "extend the selection to the right", run: extend(0, 1) },
    { keys: "Escape", does: "select nothing; leave the filter", run: () => leave(root, around.filter, actions) },
    { keys: "p", does: "pin, or take the pin away", run: () => actions.pin() },
    {
      keys: "t",
      does: "only features at the cursor's token, or all again",
      run: () => around.byToken(actions.cursor.column),
    },
    { keys: "/", does: "filter", run: () => around.filter.select() },
    { keys: "s", does: "next order", run: () => actions.cycle("sort", cycles.sort) },
    { keys: "c", does: "next colour", run: () => actions.cycle("colour", colours()) },
    { keys: "f", does: "which features are shown", run: () => actions.cycle("show", cycles.show) },
    {
      keys: "g",
      does: "under headings by layer, or not",
      run: () => actions.set("grouped", !sheet.model.get("grouped")),
    },
    { keys: "e", does: "errors, or not", run: () => actions.set("errors", !sheet.model.get("errors")) },
    { keys: "Ctrl+z", does: "undo", run: session.undo },
    { keys: "Ctrl+Shift+z Ctrl+y", does: "redo", run: session.redo },
  ];
  return shortcuts(root, signal, list);
}

function leave(root: HTMLElement, filter: HTMLInputElement, actions: Actions): void {
  if (document.activeElement === filter) root.focus();
  else actions.clear();
}
