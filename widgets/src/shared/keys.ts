// Keyboard shortcuts of a widget, and the sheet that lists them.
import { h } from "./dom";

export interface Shortcut {
  /** As in `event.key` ("Space" for that), with "Ctrl+" (also the command key) and "Shift+" before it; several, separated by spaces. */
  keys: string;
  does: string;
  run: (event: KeyboardEvent) => void;
}

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** Enter and space on a button press it. */
const pressing = (target: EventTarget | null, name: string): boolean =>
  (name === "Enter" || name === "Space") && target instanceof Element && target.closest("button, a, summary") !== null;

function pressed(event: KeyboardEvent): string {
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (key.length > 1 || /[a-z]/i.test(event.key));
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${key}`;
}

/** Shortcuts within `root` while nothing is being typed; `?` opens the sheet, Escape closes it. */
export function shortcuts(root: HTMLElement, signal: AbortSignal, list: Shortcut[]): { help(): void } {
  const sheet = h("dialog", { class: "gc-help", "aria-label": "Keyboard shortcuts" });
  const help = () => {
    sheet.replaceChildren(
      h("h3", {}, "Keyboard"),
      h(
        "dl",
        {},
        ...[...list, { keys: "?", does: "this sheet" }].flatMap(({ keys, does }) => [
          h("dt", {}, ...keys.split(" ").map((key) => h("kbd", {}, key))),
          h("dd", {}, does),
        ]),
      ),
      h("button", { type: "button", onclick: () => sheet.close() }, "Close"),
    );
    if (!sheet.isConnected) root.append(sheet);
    if (!sheet.open) sheet.showModal();
  };
  root.addEventListener(
    "keydown",
    (event) => {
      if (sheet.open) {
        event.stopPropagation();
        return;
      }
      const name = pressed(event);
      const found =
        (typing(event.target) && name !== "Escape") || pressing(event.target, name)
          ? undefined
          : list.find((s) => s.keys.split(" ").includes(name));
      if (found) found.run(event);
      else if (name === "?" && !typing(event.target)) help();
      else return;
      // The notebook has shortcuts of its own on the same keys.
      event.preventDefault();
      event.stopPropagation();
    },
    { signal },
  );
  return { help };
}
