// A bar between two panes that is moved with the pointer or the arrow keys.
import { h } from "../shared/dom";

export interface Split {
  label: string;
  /** "vertical" bars move sideways. */
  direction: "vertical" | "horizontal";
  /** The share or size now. */
  get(): number;
  /** Moves by pixels; `done` when the pointer is up. */
  move(from: number, pixels: number, done: boolean): void;
}

export function split({ label, direction, get, move }: Split): HTMLElement {
  const bar = h("div", {
    class: `gc-split gc-${direction}`,
    role: "separator",
    tabindex: 0,
    "aria-label": label,
    "aria-orientation": direction,
  });
  const along = (event: PointerEvent) => (direction === "vertical" ? event.clientX : event.clientY);
  bar.addEventListener("pointerdown", (down) => {
    const [start, from] = [along(down), get()];
    bar.setPointerCapture(down.pointerId);
    const moved = (event: PointerEvent) => move(from, along(event) - start, false);
    const up = (event: PointerEvent) => {
      bar.removeEventListener("pointermove", moved);
      move(from, along(event) - start, true);
    };
    bar.addEventListener("pointermove", moved);
    bar.addEventListener("pointerup", up, { once: true });
    down.preventDefault();
  });
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -24, ArrowUp: -24, ArrowRight: 24, ArrowDown: 24 }[event.key];
    if (step === undefined) return;
    move(get(), step, true);
    event.preventDefault();
    event.stopPropagation();
  });
  return bar;
}
