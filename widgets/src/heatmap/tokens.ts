// The prompt as text above the heatmap, each token shaded by the influence of all nodes at it.
import { css, sequential } from "../shared/colour";
import { h } from "../shared/dom";
import { number } from "../shared/number";
import { show } from "../shared/session";
import type { Theme } from "../shared/theme";
import type { Sheet } from "./sheet";

export interface TokenBar {
  element: HTMLElement;
  shade(theme: Theme): void;
  /** Marks the token under the pointer; -1 for none. */
  highlight(column: number): void;
}

/** Tokens beyond the traced ones are shown without shade. */
export function tokenBar(
  sheet: Sheet,
  signal: AbortSignal,
  on: { hover(column: number): void; click(column: number): void },
): TokenBar {
  const { tokens } = sheet.session.meta;
  const spans = tokens.map((token, position) => {
    const traced = position < sheet.columns;
    const title = traced ? `${show(token)}: influence ${number(sheet.influence[position])}` : "not traced";
    return h("span", { class: traced ? "gc-token" : "gc-token gc-muted", title, "data-position": position }, token);
  });
  for (const span of spans) if (/\n/.test(span.textContent ?? "")) span.classList.add("gc-newline");
  const element = h("p", { class: "gc-prompt", "aria-label": "Prompt" }, ...spans);
  const position = (event: Event): number => {
    const found = (event.target as Element).closest?.("[data-position]");
    const at = Number(found?.getAttribute("data-position") ?? -1);
    return at < sheet.columns ? at : -1;
  };
  element.addEventListener("pointermove", (event) => on.hover(position(event)), { signal });
  element.addEventListener("pointerleave", () => on.hover(-1), { signal });
  element.addEventListener(
    "click",
    (event) => {
      const chosen = getSelection()?.isCollapsed !== false; // not while text is being selected
      if (chosen && position(event) >= 0) on.click(position(event));
    },
    { signal },
  );
  let highlighted = -1;
  return {
    element,
    shade(theme) {
      const top = Math.max(...sheet.influence, 1e-30);
      spans.forEach((span, at) => {
        if (at >= sheet.columns) return;
        const share = sheet.influence[at] / top;
        span.style.background = css(sequential(1, theme.dark), (theme.dark ? 0.08 : 0.05) + 0.4 * share);
      });
    },
    highlight(column) {
      if (column === highlighted) return;
      spans[highlighted]?.classList.remove("gc-hovered");
      spans[column]?.classList.add("gc-hovered");
      highlighted = column;
    },
  };
}
