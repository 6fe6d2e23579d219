// From a node's value to its colour, by the square root: a few nodes carry most, and the others should be seen too.
import { css, diverging, sequential } from "../shared/colour";
import { KINDS, type Session } from "../shared/session";
import type { Rows } from "./rows";

export const COLOURS = ["activation", "influence", "effect"] as const;
export type Colour = (typeof COLOURS)[number];

const STEPS = 64;
const FEATURE = KINDS.indexOf("feature");

export interface Scale {
  colour: Colour;
  /** (nodes) what is coloured; NaN where it is not defined. */
  values: Float32Array;
  /** The largest |value| of all rows: the end of the scale. */
  top: number;
  signed: boolean;
}

export function scaleOf(session: Session, rows: Rows, colour: Colour): Scale {
  const { nodes } = session;
  const values = colour === "effect" ? effects(session) : nodes[colour];
  let top = 0;
  for (const node of rows.nodes) {
    const size = Math.abs(values[node]);
    if (size > top) top = size;
  }
  return { colour, values, top, signed: colour === "effect" };
}

/** What an intervention did; only features have that. */
export function effects({ nodes, overlay }: Session): Float32Array {
  return Float32Array.from(nodes.kind, (kind, node) =>
    kind === FEATURE && overlay ? overlay.values[node] : Number.NaN,
  );
}

/** Where a value lies on the scale: 0 to 1, or -1 to 1. */
export const share = (value: number, { top }: Scale): number =>
  top ? Math.sign(value) * Math.sqrt(Math.abs(value) / top) : 0;

/** The value at a share. */
export const valueAt = (at: number, { top }: Scale): number => Math.sign(at) * at * at * top;

/** CSS colours of all shares, made once. */
export class Palette {
  readonly #colours: string[];

  constructor(
    private readonly signed: boolean,
    dark: boolean,
  ) {
    const paint = signed ? diverging : sequential;
    const from = signed ? -STEPS : 0;
    this.#colours = Array.from({ length: STEPS + 1 - from }, (_, i) => css(paint((i + from) / STEPS, dark)));
  }

  at(share: number): string {
    return this.#colours[Math.round(share * STEPS) + (this.signed ? STEPS : 0)];
  }

  /** As a style sheet's gradient, from left to right. */
  gradient(): string {
    return `linear-gradient(to right, ${this.#colours.filter((_, i) => i % 8 === 0).join(", ")})`;
  }
}
