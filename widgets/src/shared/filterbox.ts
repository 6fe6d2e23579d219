// The box in which the session's filter is typed; a mistake is told under it while the last valid filter stays in force.
import { debounced, h } from "./dom";
import { compile, type Filter } from "./filter";
import type { Session } from "./session";

const PAUSE = 250; // milliseconds
const EXAMPLE = 'layer>=3 & label~"Texas" & influence>0.01';
const GRAMMAR = `${EXAMPLE}
numbers: layer position feature activation influence probability  = != < <= > >=
texts: token label group name  ~ (contains) !~ = !=
kind=feature error token logit
pinned selected, words to look for, & | ! ( )`;

export interface FilterBox {
  element: HTMLElement;
  input: HTMLInputElement;
  /** The filter that is in force. */
  filter(): Filter;
}

/** A box that shows and sets `session.filter`; `changed` runs when other nodes may pass. */
export function filterBox(session: Session, signal: AbortSignal, changed: () => void): FilterBox {
  const id = `gc-filter-${Math.random().toString(36).slice(2)}`;
  const input = h("input", {
    type: "search",
    placeholder: 'layer>=3 & token~"Dallas"',
    "aria-label": "Filter",
    "aria-describedby": id,
    title: GRAMMAR,
    spellcheck: "false",
    autocomplete: "off",
  });
  const mistake = h("span", { id, class: "gc-mistake gc-problem", "aria-live": "polite" });
  let [valid, filter] = ["", compile("", session) as Filter];

  /** Puts the text in force if it can be. */
  function read(text: string): boolean {
    const found = compile(text, session);
    const wrong = "error" in found;
    mistake.textContent = wrong ? found.error : "";
    input.setAttribute("aria-invalid", String(wrong));
    if (!wrong) [valid, filter] = [text, found];
    return !wrong;
  }
  // After a pause: the first letters of a field's name are words to look for, and nothing would be left of the view.
  const typed = debounced(PAUSE, () => {
    if (read(input.value) && session.get("filter") !== input.value) {
      session.set({ filter: input.value }, false);
      changed();
    }
  });
  input.addEventListener("input", typed, { signal });
  input.addEventListener("change", typed.flush, { signal });
  signal.addEventListener("abort", typed.cancel);
  session.on(["filter"], () => {
    const text = session.get("filter");
    if (text === input.value) return;
    input.value = text;
    if (read(text)) changed();
  });
  const again = (name: "notes" | "selected") => () => {
    if (!filter.reads.has(name)) return;
    filter = compile(valid, session) as Filter;
    changed();
  };
  session.on(["notes", "known"], again("notes"));
  session.on(["selected"], again("selected"));
  input.value = session.get("filter");
  read(input.value);
  return { element: h("span", { class: "gc-filter" }, input, mistake), input, filter: () => filter };
}
