// Sheets of which one is shown.
import { h } from "../shared/dom";

export function tabs(label: string, sheets: Record<string, HTMLElement>): HTMLElement {
  const names = Object.keys(sheets);
  const buttons = names.map((name) => h("button", { type: "button", role: "tab", onclick: () => open(name) }, name));
  function open(chosen: string): void {
    names.forEach((name, i) => {
      sheets[name].hidden = name !== chosen;
      buttons[i].setAttribute("aria-selected", String(name === chosen));
      buttons[i].tabIndex = name === chosen ? 0 : -1;
    });
  }
  const list = h("div", { class: "gc-tabs", role: "tablist", "aria-label": label }, ...buttons);
  list.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const next = (at + (event.key === "ArrowLeft" ? names.length - 1 : 1)) % names.length;
    buttons[next].focus();
    open(names[next]);
    event.preventDefault();
    event.stopPropagation();
  });
  for (const name of names) {
    sheets[name].setAttribute("role", "tabpanel");
    sheets[name].setAttribute("aria-label", name);
  }
  open(names[0]);
  return h("aside", { class: "gc-side", "aria-label": label }, list, ...Object.values(sheets));
}
