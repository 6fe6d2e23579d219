// A widget model without a kernel: traits live in the page, what was asked before is answered, undo is kept here.
import type { AnyModel, Host } from "@anywidget/types";
import type { State } from "../shared/session";

type Listener = (...args: never[]) => void;
type Traits = Record<string, unknown>;
/** Answers by request and message. */
export type Answers = Record<string, Record<string, unknown>>;

const UNDONE: (keyof State)[] = ["selected", "notes", "filter"];

/** JSON in which bytes stand as `{base64: text}`, with the bytes in their place. */
export function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0][0] === "base64") {
    return Uint8Array.from(atob(entries[0][1] as string), (character) => character.charCodeAt(0));
  }
  return Object.fromEntries(entries.map(([name, part]) => [name, revive(part)]));
}

export class PageModel implements Pick<AnyModel, "get" | "set" | "save_changes" | "send"> {
  readonly #listeners = new Map<string, Set<Listener>>();
  #past: Traits[] = [];
  #future: Traits[] = [];

  constructor(
    readonly traits: Traits,
    private readonly answers: Answers = {},
  ) {}

  get = (name: string): never => this.traits[name] as never;

  set = (name: string, value: unknown): void => {
    if (JSON.stringify(this.traits[name]) === JSON.stringify(value)) return;
    if (UNDONE.includes(name as keyof State)) {
      this.#past.push(this.#kept());
      this.#future = [];
    }
    this.#put(name, value);
    this.#tell();
  };

  save_changes = (): void => {};

  on = (name: string, listener: Listener): void => {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name)!.add(listener);
  };

  off = (name?: string | null, listener?: Listener | null): void => {
    if (name && listener) this.#listeners.get(name)?.delete(listener);
  };

  send = (content: { kind?: string; id?: string; name?: string; message?: unknown }): void => {
    if (content.kind === "undo") this.#step(this.#past, this.#future);
    else if (content.kind === "redo") this.#step(this.#future, this.#past);
    else if (content.kind === "ask") {
      const response = this.answers[content.name ?? ""]?.[JSON.stringify(content.message)];
      const answer = response === undefined ? { error: "This needs a running kernel." } : { response };
      queueMicrotask(() => this.#emit("msg:custom", { id: content.id, ...answer }, []));
    }
  };

  #kept(): Traits {
    return Object.fromEntries(UNDONE.map((name) => [name, this.traits[name]]));
  }

  #step(from: Traits[], to: Traits[]): void {
    const state = from.pop();
    if (!state) return;
    to.push(this.#kept());
    for (const [name, value] of Object.entries(state)) this.#put(name, value);
    this.#tell();
  }

  #tell(): void {
    this.#put("can_undo", this.#past.length > 0);
    this.#put("can_redo", this.#future.length > 0);
  }

  #put(name: string, value: unknown): void {
    if (this.traits[name] === value) return;
    this.traits[name] = value;
    this.#emit(`change:${name}`);
  }

  #emit(name: string, ...args: unknown[]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) (listener as (...args: unknown[]) => void)(...args);
  }
}

export type Module = { render(props: unknown): Promise<void> };

/** What anywidget gives to a view, over the models of this page. */
export function hostOf(models: Map<string, PageModel>, modules: Map<string, Module>): Host {
  const id = (reference: string) => reference.replace(/^anywidget:/, "");
  const host: Host = {
    getModel: async (reference) => models.get(id(reference)) as never,
    getWidget: async (reference) => ({
      exports: undefined as never,
      render: async ({ el, signal }) => {
        await modules.get(id(reference))?.render({ el, signal, host, model: models.get(id(reference)) });
      },
    }),
  };
  return host;
}
