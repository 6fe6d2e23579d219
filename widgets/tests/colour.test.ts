import { expect, test } from "vitest";
import { diverging, sequential } from "../src/shared/colour";

test.each([false, true])("signs are told apart, zero is grey, more is further from it (dark: %s)", (dark) => {
  const distance = (value: number, scale = diverging) =>
    Math.hypot(...scale(value, dark).map((channel, i) => channel - scale(0, dark)[i]));
  const [r, g, b] = diverging(0, dark);
  expect(Math.max(r, g, b) - Math.min(r, g, b)).toBeLessThan(15);
  expect(diverging(-1, dark)[0]).toBeGreaterThan(diverging(-1, dark)[2]);
  expect(diverging(1, dark)[2]).toBeGreaterThan(diverging(1, dark)[0]);
  for (const scale of [diverging, sequential]) {
    expect(distance(0.5, scale)).toBeGreaterThan(distance(0.25, scale));
    expect(distance(7, scale)).toBeCloseTo(distance(1, scale));
  }
});
