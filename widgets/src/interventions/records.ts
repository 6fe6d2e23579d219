// What was tried, as the kernel tells it: the twin of `ui/experiments.py`.

export type ChangeKind = "ablate" | "set" | "steer" | "patch";

export interface Change {
  kind: ChangeKind;
  nodes: number[];
  /** Of "set" the activation, of "steer" the factor. */
  value: number;
  /** Of "patch". */
  prompt: string;
  /** Of the supernode, if the nodes are one. */
  name: string;
}

export interface NodeEffect {
  node: number;
  old: number | null;
  new: number | null;
  predicted: number | null;
  measured: number | null;
}

export type TokenShare = [token: string, probability: number];

export interface Experiment {
  title: string;
  changes: Change[];
  mode: string;
  new_tokens: number;
  outcome: {
    before: TokenShare[];
    after: TokenShare[];
    kl: number;
    targets: [token: string, before: number, after: number][];
    nodes: NodeEffect[];
    texts: [string, string] | null;
  };
}

export interface Traits {
  experiments: Experiment[];
  /** Which of them is laid over the graph; -1 for none. */
  current: number;
  running: { title?: string; phase?: string; share?: number };
  failure: string;
}
