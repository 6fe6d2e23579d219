// A list of nodes with numbers beside them, each of which can be clicked.
import { css, diverging } from "../shared/colour";
import { h } from "../shared/dom";
import { number } from "../shared/number";
import type { Session } from "../shared/session";
import { FULL } from "./stroke";
import { percent } from "./tip";

export interface Row {
  node: number;
  weight: number;
  share: number;
}

export const GLYPHS = { feature: "●", error: "◇", token: "■", logit: "⬟" } as const;

/** Edges as lines that select the node at the other end; `drawn` tells whether it is in the pruned graph. */
export function edgeList(
  session: Session,
  title: string,
  count: number,
  rows: Row[],
  dark: boolean,
  drawn: (node: number) => boolean,
  press: (node: number) => void,
): HTMLElement {
  const told = count > rows.length ? `${rows.length} strongest of ${count}` : `${count}`;
  return h(
    "section",
    { "aria-label": title },
    h("h4", {}, `${title} `, h("span", { class: "gc-muted" }, told)),
    rows.length
      ? h(
          "div",
          { class: "gc-rows" },
          h(
            "div",
            { class: "gc-row gc-head gc-muted" },
            h("span"),
            h("span", {}, "node"),
            h("span", {}, "weight"),
            h("span", {}, "share"),
          ),
          ...rows.map((row) => line(session, row, dark, drawn(row.node), press)),
        )
      : h("p", { class: "gc-muted" }, "none"),
  );
}

function line(session: Session, row: Row, dark: boolean, drawn: boolean, press: (node: number) => void): HTMLElement {
  const name = session.title(row.node);
  const swatch = h("span", { class: "gc-swatch", "aria-hidden": "true" }, GLYPHS[session.kind(row.node)]);
  const size = Math.min(1, Math.abs(row.share) / FULL);
  const button = h(
    "button",
    {
      type: "button",
      class: `gc-row${drawn ? "" : " gc-pruned"}`,
      title: `${name}${drawn ? "" : " (pruned away)"}: weight ${number(row.weight)}, ${percent(row.share)} of the target's input`,
      onclick: () => press(row.node),
    },
    swatch,
    h("span", { class: "gc-name" }, name, " ", h("small", { class: "gc-muted" }, where(session, row.node))),
    h("span", { class: "gc-number" }, number(row.weight)),
    h("span", { class: "gc-number" }, percent(row.share)),
  );
  const ink = css(diverging(Math.sign(row.share) * Math.max(0.25, size), dark), 0.35);
  button.style.setProperty("--gc-ink-of-bar", ink);
  button.style.setProperty("--gc-bar", `${100 * size}%`);
  return button;
}

/** Where a node is, where its title does not say. */
export function where(session: Session, node: number): string {
  const kind = session.kind(node);
  if (kind !== "feature") return kind === "error" ? "" : kind;
  const { layer, position } = session.nodes;
  const token = session.meta.tokens[position[node]]?.trim() || "␣";
  return session.label(node) ? `L${layer[node]} ${token}` : token;
}
