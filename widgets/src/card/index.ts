import "./style.css";
import { h } from "../shared/dom";
import { number } from "../shared/number";
import { show } from "../shared/session";
import { type View, widget } from "../shared/widget";
import type { Content } from "./content";
import { bars, examples, histogram, section, shaded } from "./parts";

interface Traits {
  /** Index of the node to show; -1 to follow the selection. */
  node: number;
}

function mount({ model, session, root, signal, theme, onTheme }: View<Traits>): void {
  const { nodes, meta } = session;
  const known = new Map<string, Content>();
  const body = h("div", { class: "gc-card-body", "aria-live": "polite" });
  root.append(body);
  let request = new AbortController();
  signal.addEventListener("abort", () => request.abort());

  const shown = (): number => (model.get("node") >= 0 ? model.get("node") : (session.get("selected").at(-1) ?? -1));
  const key = (node: number) => `${nodes.layer[node]} ${nodes.feature[node]}`;

  async function ask(node: number, name: "card" | "label", ...more: string[]): Promise<void> {
    request.abort(new DOMException("another feature is asked for", "AbortError"));
    request = new AbortController();
    const mine = request.signal;
    try {
      const [content] = await session.ask<Content>(name, [nodes.layer[node], nodes.feature[node], ...more], mine);
      known.set(key(node), content);
    } catch (error) {
      if (mine.aborted) return;
      known.set(key(node), { ...nothing, missing: [String(error instanceof Error ? error.message : error)] });
    }
    if (shown() === node) draw();
  }

  /** Where the feature fires on this prompt, from the graph itself. */
  function here(node: number): HTMLElement {
    const values = new Float32Array(meta.n_positions);
    let influence = 0;
    for (let i = 0; i < nodes.count; i++) {
      if (session.kind(i) !== "feature" || key(i) !== key(node)) continue;
      values[nodes.position[i]] = nodes.activation[i];
      influence += nodes.influence[i];
    }
    const tokens = meta.tokens.slice(0, meta.n_positions);
    return section(
      "On this prompt",
      `influence ${number(influence)}`,
      h("p", {}, shaded(tokens, values, Math.max(...values), theme())),
    );
  }

  function labelled(node: number, content: Content | undefined): HTMLElement {
    const input = h("input", {
      class: "gc-label",
      value: session.label(node),
      placeholder: content ? "no label yet" : "",
      "aria-label": `Label of ${session.name(node)}`,
      onchange: () => ask(node, "label", input.value.trim()),
    });
    const label = content?.label;
    const score = label?.score === null || label?.score === undefined ? "" : `, score ${number(label.score)}`;
    const source = label?.text && label.text === session.label(node) ? `${label.source} · ${label.author}${score}` : "";
    return h(
      "div",
      { class: "gc-naming" },
      input,
      h("span", { class: "gc-muted", title: "Where the label comes from" }, source),
    );
  }

  function draw(): void {
    const node = shown();
    if (node < 0) {
      body.replaceChildren(h("p", { class: "gc-muted" }, "Select a feature in the graph or the heatmap."));
      return;
    }
    const position = nodes.position[node];
    const token = show(meta.tokens[position] ?? "");
    if (session.kind(node) !== "feature") {
      body.replaceChildren(
        h(
          "header",
          {},
          h("strong", {}, session.title(node)),
          h("span", { class: "gc-muted" }, `${session.kind(node)} at ${position} ${token}`),
        ),
        h("p", { class: "gc-muted" }, `Influence ${number(nodes.influence[node])}. Only features have a card.`),
      );
      return;
    }
    const content = known.get(key(node));
    if (!content) void ask(node, "card");
    const { statistics, logits } = content ?? nothing;
    body.replaceChildren(
      h(
        "header",
        {},
        h("strong", {}, session.name(node)),
        h("span", { class: "gc-muted" }, `at ${position} ${token}, activation ${number(nodes.activation[node])}`),
        content?.link && h("a", { href: content.link, target: "_blank", rel: "noopener noreferrer" }, "Neuronpedia"),
      ),
      labelled(node, content),
      here(node),
      ...(content
        ? [
            content.examples.length > 0 &&
              section(
                "Strongest examples",
                statistics
                  ? `fires on ${number(100 * statistics.frequency)}% of tokens, at most ${number(statistics.max)}`
                  : "",
                examples(content.examples, theme()),
              ),
            h(
              "div",
              { class: "gc-columns" },
              logits && bars("Promotes", logits.promoted),
              logits && bars("Suppresses", logits.suppressed),
              logits && bars("Excited by", logits.excited_by),
              content.tokens?.length ? bars("Fires on", content.tokens) : null,
              content.histogram?.counts.length
                ? h("div", {}, h("h5", {}, "Activations"), histogram(content.histogram))
                : null,
            ),
            ...content.missing.map((why) => h("p", { class: "gc-muted" }, why)),
          ]
        : [h("p", { class: "gc-muted" }, "…")]
      ).filter((part): part is HTMLElement => part instanceof HTMLElement),
    );
  }

  session.on(["selected"], () => {
    if (model.get("node") < 0) draw();
  });
  session.on(["notes", "known"], draw);
  onTheme(draw);
  draw();
}

const nothing: Content = {
  label: null,
  statistics: null,
  examples: [],
  histogram: null,
  logits: null,
  missing: [],
  link: null,
};

export default widget("card", "Feature card", mount);
