import "./style.css";
import { h } from "../shared/dom";
import { shortcuts } from "../shared/keys";
import { number } from "../shared/number";
import { type View, widget } from "../shared/widget";
import { form } from "./form";
import { outcome } from "./outcome";
import type { Change, Traits } from "./records";

const HOW: Record<Change["kind"], (change: Change) => string> = {
  ablate: () => "ablate",
  set: ({ value }) => `set to ${number(value)}`,
  steer: ({ value }) => `× ${number(value)}`,
  patch: ({ prompt }) => `patch from “${prompt}”`,
};

function mount({ model, session, root, signal }: View<Traits>): void {
  const setting = form(session);
  const queue: Change[] = [];
  const queued = h("ul", { class: "gc-queue", "aria-label": "Changes made together" });
  const run = h("button", { type: "button", class: "gc-run", onclick: () => start() }, "Run");
  const add = h(
    "button",
    { type: "button", title: "Make this change together with others", onclick: () => enqueue() },
    "Add another",
  );
  const cancel = h("button", { type: "button", onclick: () => void ask("cancel", null) }, "Cancel");
  const progress = h("progress", { max: 1, "aria-label": "Progress" });
  const phase = h("span", { class: "gc-muted" });
  const problem = h("p", { class: "gc-problem", role: "alert" });
  const result = h("div", { "aria-live": "polite" });
  const history = h("ol", { class: "gc-history", "aria-label": "What was tried" });
  const controls = h("div", { class: "gc-bar" }, run, add, cancel, progress, phase);
  root.append(
    setting.element,
    queued,
    controls,
    problem,
    h("div", { class: "gc-body" }, result, h("aside", {}, h("h5", {}, "History"), history)),
  );

  async function ask(name: string, message: unknown): Promise<unknown> {
    try {
      problem.textContent = "";
      return (await session.ask(name, message))[0];
    } catch (error) {
      if (!signal.aborted) problem.textContent = error instanceof Error ? error.message : String(error);
      return undefined;
    }
  }

  function enqueue(): void {
    const change = setting.change();
    if (change) queue.push(change);
    problem.textContent = change ? "" : "Select features or errors in the graph or the heatmap first.";
    drawQueue();
  }

  function start(): void {
    const change = setting.change();
    const changes = queue.length ? queue : change ? [change] : [];
    if (changes.length === 0) problem.textContent = "Select features or errors in the graph or the heatmap first.";
    else void ask("try", { changes, mode: setting.mode(), new_tokens: setting.newTokens() });
  }

  function drawQueue(): void {
    queued.replaceChildren(
      ...queue.map((change, i) =>
        h(
          "li",
          {},
          `${HOW[change.kind](change)}: ${change.name || change.nodes.map((node) => session.title(node)).join(", ")}`,
          h(
            "button",
            {
              type: "button",
              "aria-label": `Take change ${i + 1} away`,
              onclick: () => {
                queue.splice(i, 1);
                drawQueue();
              },
            },
            "×",
          ),
        ),
      ),
    );
    run.textContent = queue.length > 1 ? `Run ${queue.length} changes` : "Run";
  }

  /** The code reaches the clipboard where the page may write to it, else it is shown to be copied by hand. */
  async function copy(index: number, button: HTMLButtonElement): Promise<void> {
    const code = await ask("code", index);
    if (typeof code !== "string") return;
    try {
      await navigator.clipboard.writeText(code);
      button.textContent = "copied";
      setTimeout(() => {
        button.textContent = "copy code";
      }, 1500);
    } catch {
      const dialog = h("dialog", { class: "gc-help", "aria-label": "Code" }, h("pre", {}, code));
      dialog.append(h("button", { type: "button", onclick: () => dialog.remove() }, "Close"));
      root.append(dialog);
      dialog.showModal();
    }
  }

  function draw(): void {
    const [list, current] = [model.get("experiments"), model.get("current")];
    const shown = list[current];
    const select = (node: number) => session.set({ selected: [node] });
    result.replaceChildren(
      shown
        ? outcome(session, shown, select)
        : h("p", { class: "gc-muted" }, "Select nodes, choose a change, and run it: what the model does shows here."),
    );
    history.replaceChildren(
      ...list.map((experiment, i) => {
        const [token, share] = experiment.outcome.after[0] ?? ["", 0];
        const code = h("button", { type: "button", class: "gc-link", onclick: () => void copy(i, code) }, "copy code");
        return h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              "aria-pressed": String(i === current),
              onclick: () => void ask("restore", i === current ? -1 : i),
            },
            h("span", {}, experiment.title),
            h("span", { class: "gc-muted" }, `${token.trim()} ${(100 * share).toFixed(0)}%`),
          ),
          code,
        );
      }),
    );
    history.lastElementChild?.scrollIntoView?.({ block: "nearest" });
  }

  function tell(): void {
    const { title, phase: now, share } = model.get("running");
    const under = title !== undefined;
    progress.hidden = cancel.hidden = !under;
    progress.value = share ?? 0;
    phase.textContent = under ? `${title}: ${now}` : "";
    if (model.get("failure")) problem.textContent = model.get("failure");
  }

  const listen = (names: (keyof Traits)[], changed: () => void) => {
    for (const name of names) {
      model.on(`change:${name}`, changed);
      signal.addEventListener("abort", () => model.off(`change:${name}`, changed));
    }
  };
  listen(["experiments", "current"], draw);
  listen(["running", "failure"], tell);
  session.on(["selected", "notes", "known"], setting.refresh);
  shortcuts(root, signal, [
    { keys: "Ctrl+Enter", does: "run", run: start },
    {
      keys: "Escape",
      does: "cancel what is under way",
      run: () => void (model.get("running").title && ask("cancel", null)),
    },
    { keys: "Ctrl+z", does: "undo", run: session.undo },
    { keys: "Ctrl+Shift+z Ctrl+y", does: "redo", run: session.redo },
  ]);
  draw();
  tell();
  for (const part of [setting.element, controls]) part.hidden = !session.live;
}

export default widget("interventions", "Interventions", mount);
