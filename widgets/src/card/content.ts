// What the kernel tells of a feature: the twin of `content` in `ui/card.py`.

export type Ranked = [token: string, value: number][];

export interface Example {
  tokens: string[];
  activations: number[];
  peak: number;
}

export interface Content {
  label: { text: string; author: string; source: string; score: number | null } | null;
  statistics: { count: number; frequency: number; mean: number; max: number } | null;
  examples: Example[];
  histogram: { edges: number[]; counts: number[] } | null;
  tokens?: Ranked;
  logits: { promoted: Ranked; suppressed: Ranked; excited_by: Ranked } | null;
  /** Why parts are missing. */
  missing: string[];
  link: string | null;
}
