// What came of an experiment: tokens before and after, and each node's effect as predicted and as measured.
import { h } from "../shared/dom";
import { number } from "../shared/number";
import { type Session, show, visible } from "../shared/session";
import type { Experiment, NodeEffect, TokenShare } from "./records";

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.0995 ? 2 : 1)}%`;

/** Likeliest tokens with a bar each, those of the other list included so that both sides show the same tokens. */
function tokens(title: string, list: TokenShare[], first: string): HTMLElement {
  const rows = list.map(([token, share]) => {
    const bar = h("i");
    bar.style.width = `${100 * share}%`;
    return h(
      "tr",
      { class: token === first && "gc-first" },
      h("th", { scope: "row", title: JSON.stringify(token) }, visible(token)),
      h("td", {}, bar),
      h("td", {}, percent(share)),
    );
  });
  return h("div", {}, h("h5", {}, title), h("table", { class: "gc-bars" }, h("tbody", {}, ...rows)));
}

/** Predicted and measured change of the first target's logit, for every node by itself; a click selects it. */
function effects(session: Session, list: NodeEffect[], select: (node: number) => void): HTMLElement {
  const top = Math.max(
    ...list.flatMap((effect) => [Math.abs(effect.predicted ?? 0), Math.abs(effect.measured ?? 0)]),
    1e-9,
  );
  const cell = (value: number | null) => {
    if (value === null) return h("td", {}, "–");
    const bar = h("i", { class: value < 0 ? "gc-signed gc-negative" : "gc-signed" });
    bar.style.width = `${(30 * Math.abs(value)) / top}%`;
    return h("td", { class: "gc-effect" }, bar, h("span", {}, number(value)));
  };
  const rows = list.map((effect) =>
    h(
      "tr",
      {},
      h(
        "th",
        { scope: "row" },
        h(
          "button",
          { type: "button", class: "gc-link", onclick: () => select(effect.node) },
          session.title(effect.node),
        ),
      ),
      h("td", {}, effect.old === null ? "–" : `${number(effect.old)} → ${number(effect.new ?? Number.NaN)}`),
      cell(effect.predicted),
      cell(effect.measured),
    ),
  );
  const target = show(session.meta.targets[0]?.token ?? "");
  return h(
    "table",
    { class: "gc-effects" },
    h("caption", {}, `Change of the logit of “${target}”, each node by itself`),
    h(
      "thead",
      {},
      h("tr", {}, ...["node", "activation", "predicted", "measured"].map((name) => h("th", { scope: "col" }, name))),
    ),
    h("tbody", {}, ...rows),
  );
}

/** All of it. */
export function outcome(session: Session, experiment: Experiment, select: (node: number) => void): HTMLElement {
  const { before, after, kl, nodes, texts } = experiment.outcome;
  const first = before[0]?.[0] ?? "";
  return h(
    "div",
    { class: "gc-outcome" },
    h(
      "p",
      {},
      h("strong", {}, experiment.title),
      h("span", { class: "gc-muted" }, ` ${experiment.mode}, KL ${number(kl)} nats`),
    ),
    h("div", { class: "gc-sides" }, tokens("Before", before, first), tokens("After", after, first)),
    nodes.length > 0 && effects(session, nodes, select),
    texts &&
      h(
        "dl",
        { class: "gc-texts" },
        ...["without", "with"].flatMap((name, i) => [
          h("dt", {}, `${name}`),
          h("dd", {}, session.meta.prompt, h("b", {}, texts[i])),
        ]),
      ),
  );
}
