// Colour scales that colour-blind readers can use: one for amounts, one for signed amounts.

export type Rgb = readonly [number, number, number];

const mix = (a: Rgb, b: Rgb, t: number): Rgb => [
  a[0] + (b[0] - a[0]) * t,
  a[1] + (b[1] - a[1]) * t,
  a[2] + (b[2] - a[2]) * t,
];

export const css = ([r, g, b]: Rgb, alpha = 1): string =>
  `rgba(${Math.round(r)},${Math.round(g)},${Math.round(b)},${alpha})`;

const NEGATIVE: Rgb = [213, 94, 0];
const POSITIVE: Rgb = [0, 114, 178];
const LIGHT = { zero: [236, 238, 241] as Rgb, negative: NEGATIVE, positive: POSITIVE };
const DARK = { zero: [58, 62, 68] as Rgb, negative: [240, 148, 70] as Rgb, positive: [86, 180, 233] as Rgb };

/** Signed, from -1 (vermilion) over 0 (grey) to 1 (blue): Okabe and Ito's pair. */
export function diverging(value: number, dark: boolean): Rgb {
  const ends = dark ? DARK : LIGHT;
  const t = Math.min(1, Math.abs(value));
  return mix(ends.zero, value < 0 ? ends.negative : ends.positive, t);
}

/** Amounts, from 0 (the page's grey) to 1 (full blue; lighter on dark pages). */
export function sequential(value: number, dark: boolean): Rgb {
  const ends = dark ? DARK : LIGHT;
  return mix(ends.zero, dark ? [140, 210, 255] : [8, 64, 129], Math.min(1, Math.max(0, value)));
}
