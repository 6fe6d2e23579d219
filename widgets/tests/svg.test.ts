import { expect, test } from "vitest";
import { asSvg, newPath } from "../src/shared/svg";

function parsed(paint: (context: CanvasRenderingContext2D) => void): SVGSVGElement {
  const text = asSvg(100, 50, "#fff", paint);
  return new DOMParser().parseFromString(text, "image/svg+xml").documentElement as unknown as SVGSVGElement;
}

test("shapes keep their places, colours and widths", () => {
  const drawing = parsed((context) => {
    context.strokeStyle = "#0072b2";
    context.lineWidth = 2;
    context.setLineDash([3, 2]);
    const path = newPath(context);
    path.moveTo(1, 2);
    path.bezierCurveTo(1, 10, 20, 30, 20, 40.126);
    context.stroke(path);
    context.fillStyle = "red";
    context.globalAlpha = 0.5;
    context.fillRect(5, 6, 7, 8);
  });
  const [path] = drawing.getElementsByTagName("path");
  expect(path.getAttribute("d")).toBe("M1 2C1 10 20 30 20 40.13");
  expect([
    path.getAttribute("stroke"),
    path.getAttribute("stroke-width"),
    path.getAttribute("stroke-dasharray"),
  ]).toEqual(["#0072b2", "2", "3 2"]);
  const rect = drawing.getElementsByTagName("rect")[1];
  expect(["x", "y", "width", "height", "fill", "opacity"].map((name) => rect.getAttribute(name))).toEqual([
    "5",
    "6",
    "7",
    "8",
    "red",
    "0.5",
  ]);
});

test("save and restore give back ink, clip and place", () => {
  const drawing = parsed((context) => {
    context.save();
    context.translate(10, 20);
    context.rotate(-Math.PI / 2);
    context.beginPath();
    context.rect(0, 0, 4, 4);
    context.clip();
    context.fillStyle = "blue";
    context.fillRect(0, 0, 1, 1);
    context.restore();
    context.fillRect(2, 2, 1, 1);
  });
  const [, first, second] = drawing.getElementsByTagName("rect");
  expect(first.getAttribute("transform")).toBe("translate(10 20)rotate(-90)");
  expect((first.parentNode as Element).getAttribute("clip-path")).toMatch(/^url\(#/);
  expect(second.getAttribute("fill")).toBe("#000");
  expect(second.getAttribute("transform")).toBeNull();
});

test("text stays text, whatever it says", () => {
  const hostile = '<img src=x onerror=alert(1)> & "quotes"';
  const drawing = parsed((context) => {
    context.font = "600 12px Arial, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(hostile, 10, 20);
  });
  const [text] = drawing.getElementsByTagName("text");
  expect(text.textContent).toBe(hostile);
  expect(text.children).toHaveLength(0);
  expect(["text-anchor", "font-weight", "font-size", "x"].map((name) => text.getAttribute(name))).toEqual([
    "middle",
    "600",
    "12",
    "10",
  ]);
  expect(Number(text.getAttribute("y"))).toBeGreaterThan(20);
});
