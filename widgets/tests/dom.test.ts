import { expect, test } from "vitest";
import { h, svg } from "../src/shared/dom";

const HOSTILE = [
  "<img src=x onerror=alert(1)>",
  "</div><script>alert(1)</script>",
  "&lt;b&gt;",
  '"><svg onload=alert(1)>',
];

test.each(HOSTILE)("text stays text: %s", (text) => {
  const element = h("div", { title: text }, text, h("b", {}, text));
  expect(element.textContent).toBe(text + text);
  expect(element.querySelectorAll("*")).toHaveLength(1);
  expect(element.getAttribute("title")).toBe(text);
  expect(svg("text", {}, text).children).toHaveLength(0);
});
