// What is told of a node while the pointer is over it.
import { h } from "../shared/dom";
import { number } from "../shared/number";
import { type Session, show } from "../shared/session";

/** Signed, by three digits, or "±0%" below a thousandth of a percent. */
export const percent = (share: number): string =>
  Math.abs(share) < 1e-5 ? "±0%" : `${share > 0 ? "+" : "−"}${Math.abs(100 * share).toPrecision(3)}%`;

/** Name and value pairs of a node; `influence` is that in the pruned graph. */
export function facts(session: Session, node: number, influence: number | undefined): [string, string][] {
  const { nodes, meta } = session;
  const kind = session.kind(node);
  const position = nodes.position[node];
  const group = session.get("notes").supernodes.find(([, members]) => members.includes(node))?.[0];
  const told: [string, string | false | undefined][] = [
    ["kind", kind],
    ["layer", (kind === "feature" || kind === "error") && `${nodes.layer[node]}`],
    ["token", `${show(meta.tokens[position] ?? "")} (${position})`],
    ["feature", kind === "feature" && `${nodes.feature[node]}`],
    ["label", session.label(node)],
    ["group", group],
    ["activation", kind === "feature" && number(nodes.activation[node])],
    ["probability", kind === "logit" && number(nodes.probability[node])],
    ["influence", kind !== "logit" && number(influence ?? nodes.influence[node])],
  ];
  return told.filter((fact): fact is [string, string] => Boolean(fact[1]));
}

/** One sentence for who does not see the screen. */
export const spoken = (session: Session, node: number, influence: number | undefined): string =>
  `${session.title(node)}. ${facts(session, node, influence)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ")}`;

/** A box that follows the pointer inside `parent`. */
export class Tip {
  readonly element = h("div", { class: "gc-tip", hidden: true, role: "tooltip" });

  constructor(private readonly parent: HTMLElement) {
    parent.append(this.element);
  }

  hide(): void {
    this.element.hidden = true;
  }

  /** Shows a title and pairs near a point of the parent. */
  show(x: number, y: number, title: string, pairs: [string, string][] = []): void {
    const list = pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
    this.element.replaceChildren(h("strong", {}, title), ...(list.length ? [h("dl", {}, ...list)] : []));
    this.element.hidden = false;
    const { clientWidth, clientHeight } = this.parent;
    const { offsetWidth, offsetHeight } = this.element;
    const left = x + 14 + offsetWidth > clientWidth ? x - 14 - offsetWidth : x + 14;
    const top = Math.min(y + 12, clientHeight - offsetHeight - 4);
    this.element.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  }
}
