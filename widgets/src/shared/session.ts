// The state that all views of one graph share: the twin of `ui/session.py`, which owns it.
import type { AnyModel } from "@anywidget/types";
import { type Bytes, floats, integers } from "./columns";
import { debounced } from "./dom";

export const KINDS = ["feature", "error", "token", "logit"] as const;
export type Kind = (typeof KINDS)[number];

/** All nodes of the graph; a node is its place in these. */
export interface Nodes {
  count: number;
  /** Index into `KINDS`. */
  kind: Int32Array;
  layer: Int32Array;
  position: Int32Array;
  feature: Int32Array;
  activation: Float32Array;
  probability: Float32Array;
  /** In the whole graph. */
  influence: Float32Array;
  /** Sum of |weight| into it in the whole graph, by which its edges are divided; 0 for errors and tokens. */
  incoming: Float32Array;
}

/** The pruned graph as it is drawn. */
export interface Drawn {
  /** (kept) nodes that are left. */
  kept: Int32Array;
  /** (kept) places, in columns and rows; y grows upwards. */
  x: Float32Array;
  y: Float32Array;
  /** (kept) influence in the pruned graph. */
  influence: Float32Array;
  /** (edges) nodes, by growing |share|. */
  source: Int32Array;
  target: Int32Array;
  weight: Float32Array;
  /** (edges) weight over the sum of |weight| into the target, in the whole graph. */
  share: Float32Array;
  /** (positions + 1) borders of the token columns. */
  columns: Float32Array;
  /** Layers from the bottom: a name and its y. */
  rows: [string, number][];
  /** Edges that the pruned graph has; those beyond what is drawn come on demand. */
  edges: number;
  counts: string;
  scores: { replacement: number; completeness: number };
}

export interface Notes {
  pinned: number[];
  supernodes: [string, number[]][];
  labels: [number, string][];
  /** A node, or a supernode's name, with x and y. */
  positions: [number | string, number, number][];
}

export interface Overlay {
  name: string;
  values: Float32Array;
}

export interface Meta {
  prompt: string;
  tokens: string[];
  n_layers: number;
  n_positions: number;
  targets: { token: string; token_id: number; probability: number }[];
  model: string;
  transcoder: string;
  /** For Neuronpedia's address of a feature, with {layer} and {feature} in it; empty where it has none. */
  link: string;
}

/** What is shared, small, and undone by the kernel's history. */
export interface State {
  selected: number[];
  notes: Notes;
  node_threshold: number;
  edge_threshold: number;
  filter: string;
}

interface Traits extends State {
  meta: Meta;
  nodes: Record<string, Bytes>;
  drawn: Record<string, Bytes> & Pick<Drawn, "rows" | "edges" | "counts" | "scores">;
  /** Labels of the feature store. */
  known: [number, string][];
  overlay: { name?: string; values?: Bytes };
  can_undo: boolean;
  can_redo: boolean;
  busy: boolean;
  problem: string;
  live?: false;
}

export class Session {
  readonly meta: Meta;
  readonly nodes: Nodes;
  /** Whether there is a kernel to ask; not so in an exported page. */
  readonly live: boolean;
  #drawn: Drawn | undefined;
  #labels: Map<number, string> | undefined;
  readonly #save: ReturnType<typeof debounced>;

  constructor(
    private readonly model: AnyModel<Traits>,
    private readonly signal: AbortSignal,
  ) {
    this.meta = model.get("meta");
    this.live = model.get("live") !== false;
    const bytes = model.get("nodes");
    const kind = integers(bytes.kind);
    this.nodes = {
      count: kind.length,
      kind,
      layer: integers(bytes.layer),
      position: integers(bytes.position),
      feature: integers(bytes.feature),
      activation: floats(bytes.activation),
      probability: floats(bytes.probability),
      influence: floats(bytes.influence),
      incoming: floats(bytes.incoming),
    };
    this.#save = debounced(60, () => model.save_changes());
    signal.addEventListener("abort", () => this.#save.flush());
    this.on(["drawn"], () => {
      this.#drawn = undefined;
    });
    this.on(["notes", "known"], () => {
      this.#labels = undefined;
    });
  }

  get drawn(): Drawn {
    if (!this.#drawn) {
      const raw = this.model.get("drawn");
      this.#drawn = {
        kept: integers(raw.kept),
        x: floats(raw.x),
        y: floats(raw.y),
        influence: floats(raw.influence),
        source: integers(raw.source),
        target: integers(raw.target),
        weight: floats(raw.weight),
        share: floats(raw.share),
        columns: floats(raw.columns),
        rows: raw.rows,
        edges: raw.edges,
        counts: raw.counts,
        scores: raw.scores,
      };
    }
    return this.#drawn;
  }

  /** A value for each node to colour it by, such as the effect of an intervention; undefined where there is none. */
  get overlay(): Overlay | undefined {
    const { name, values } = this.model.get("overlay");
    return name && values ? { name, values: floats(values) } : undefined;
  }

  get<K extends keyof State | "can_undo" | "can_redo" | "busy" | "problem">(name: K): Traits[K] {
    return this.model.get(name);
  }

  /** Changes shared state: at once here, in the kernel when `settled`, or a moment after the last change. */
  set(changes: Partial<State>, settled = true): void {
    for (const [name, value] of Object.entries(changes)) this.model.set(name as keyof State, value as never);
    this.#save();
    if (settled) this.#save.flush();
  }

  /** Annotations with some parts replaced, as one step. */
  annotate(parts: Partial<Notes>): void {
    this.set({ notes: { ...this.get("notes"), ...parts } });
  }

  on(names: (keyof Traits)[], changed: () => void): void {
    for (const name of names) {
      this.model.on(`change:${name}`, changed);
      this.signal.addEventListener("abort", () => this.model.off(`change:${name}`, changed));
    }
  }

  undo = (): void => this.model.send({ kind: "undo" });
  redo = (): void => this.model.send({ kind: "redo" });

  /** Asks the kernel; rejects with its message, or when the signal aborts. */
  ask<T>(name: string, message: unknown, signal: AbortSignal = this.signal): Promise<[T, DataView[]]> {
    const id = `${Date.now()}-${Math.random()}`; // crypto.randomUUID is missing on plain http
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.model.off("msg:custom", heard);
        signal.removeEventListener("abort", aborted);
      };
      const heard = (answer: { id?: string; response?: T; error?: string }, buffers: DataView[]) => {
        if (answer.id !== id) return;
        stop();
        if (answer.error !== undefined) reject(new Error(answer.error));
        else resolve([answer.response as T, buffers]);
      };
      const aborted = () => {
        stop();
        reject(signal.reason);
      };
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      signal.addEventListener("abort", aborted);
      this.model.on("msg:custom", heard);
      this.model.send({ kind: "ask", id, name, message });
    });
  }

  label(node: number): string {
    this.#labels ??= new Map([...this.model.get("known"), ...this.get("notes").labels]);
    return this.#labels.get(node) ?? "";
  }

  kind(node: number): Kind {
    return KINDS[this.nodes.kind[node]];
  }

  /** The text, as it is, of the token at a node's position; a logit's is the token that it stands for. */
  token(node: number): string {
    const { tokens, targets } = this.meta;
    const logit = node - (this.nodes.count - targets.length);
    return logit < 0 ? (tokens[this.nodes.position[node]] ?? "") : targets[logit].token;
  }

  /** What a node is called where nobody has labelled it. */
  name(node: number): string {
    const { layer, position, feature, probability } = this.nodes;
    const token = show(this.meta.tokens[position[node]] ?? "");
    switch (this.kind(node)) {
      case "feature":
        return `L${layer[node]} #${feature[node]}`;
      case "error":
        return `error L${layer[node]} ${token}`;
      case "token":
        return token;
      case "logit": {
        const target = this.meta.targets[node - (this.nodes.count - this.meta.targets.length)];
        return `${show(target.token)} ${(100 * probability[node]).toPrecision(3)}%`;
      }
    }
  }

  /** The label if there is one, else the name. */
  title(node: number): string {
    return this.label(node) || this.name(node);
  }
}

/** A token as it is listed: its spaces kept, other white space made visible. */
export const visible = (token: string): string => token.replace(/\n/g, "⏎").replace(/\t/g, "⇥");

/** A token as it is shown: without the space before a word, other white space made visible. */
export const show = (token: string): string =>
  token
    .replace(/^ (?=.)/, "")
    .replace(/\n/g, "⏎")
    .replace(/\t/g, "⇥")
    .replace(/^ $/, "␣") || "∅";
