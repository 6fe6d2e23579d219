// One box of the subgraph: text that wraps, dragged by pointer or keys, renamed in place.
import { h } from "../shared/dom";
import type { Session } from "../shared/session";
import { GROUPS } from "./nodes";
import { GLYPHS, where } from "./rows";
import type { Box, Size } from "./subgraph";

export interface Shown {
  element: HTMLElement;
  fill(box: Box, title: string, group: number): void;
  move(x: number, y: number): void;
  size(): Size;
  select(chosen: boolean): void;
  selected(): boolean;
  rename(): void;
}

export interface Handlers {
  press(key: number | string, extend: boolean): void;
  drag(key: number | string, dx: number, dy: number): void;
  drop(): void;
  rename(key: number | string, text: string): void;
}

const STILL = 3;
const KEYS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const STRIDE = 12;

export function makeBox(session: Session, key: number | string, handlers: Handlers): Shown {
  const text = h("div", { class: "gc-box-title" });
  const below = h("div", { class: "gc-box-below gc-muted" });
  const element = h("div", { class: "gc-box", role: "button", tabindex: 0, "aria-pressed": "false" }, text, below);
  let at: { x: number; y: number; moved: boolean } | undefined;
  let name = "";

  const selected = () => element.getAttribute("aria-pressed") === "true";
  const editing = () => element.querySelector("input");

  function rename(): void {
    if (editing()) return;
    const own = typeof key === "number" ? session.label(key) : key;
    const input = h("input", { value: own, "aria-label": typeof key === "number" ? "Label" : "Name of the group" });
    let open = true;
    const end = (keep: boolean) => {
      if (!open) return;
      open = false;
      input.remove();
      text.hidden = false;
      if (keep && input.value !== own) handlers.rename(key, input.value);
      if (element.isConnected) element.focus({ preventScroll: true });
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") end(true);
      else if (event.key === "Escape") end(false);
      event.stopPropagation();
    });
    input.addEventListener("blur", () => end(true));
    input.addEventListener("pointerdown", (event) => event.stopPropagation());
    text.hidden = true;
    element.prepend(input);
    input.select();
  }

  element.addEventListener("dblclick", rename);
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    at = { x: event.clientX, y: event.clientY, moved: false };
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    if (!at || (!at.moved && Math.hypot(event.clientX - at.x, event.clientY - at.y) < STILL)) return;
    at.moved = true;
    handlers.drag(key, event.clientX - at.x, event.clientY - at.y);
    [at.x, at.y] = [event.clientX, event.clientY];
  });
  const release = (event: PointerEvent) => {
    if (!at) return;
    const { moved } = at;
    at = undefined;
    if (moved) handlers.drop();
    else if (event.type === "pointerup") handlers.press(key, event.shiftKey || event.ctrlKey || event.metaKey);
  };
  element.addEventListener("pointerup", release);
  element.addEventListener("pointercancel", release);
  element.addEventListener("keydown", (event) => {
    const way = KEYS[event.key];
    if (way && event.shiftKey) {
      handlers.drag(key, STRIDE * way[0], STRIDE * way[1]);
      handlers.drop();
    } else if (event.key === "Enter" || event.key === " ") handlers.press(key, event.shiftKey);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  return {
    element,
    fill({ nodes }, title, group) {
      name = title;
      const kind = session.kind(nodes[0]);
      text.textContent = name;
      below.textContent =
        typeof key === "string"
          ? `${nodes.length} node${nodes.length === 1 ? "" : "s"}`
          : `${GLYPHS[kind]} ${where(session, key)}`;
      element.title = nodes.map((node) => session.title(node)).join("\n");
      element.classList.toggle("gc-group", group >= 0);
      element.style.setProperty("--gc-group", group >= 0 ? GROUPS[group % GROUPS.length] : "");
    },
    move(x, y) {
      element.style.transform = `translate(${Math.round(x - element.offsetWidth / 2)}px, ${Math.round(y - element.offsetHeight / 2)}px)`;
    },
    size: () => ({ width: element.offsetWidth, height: element.offsetHeight }),
    select: (chosen) => element.setAttribute("aria-pressed", String(chosen)),
    selected,
    rename,
  };
}
