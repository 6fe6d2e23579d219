// Draws what a canvas draws as SVG: the parts of its context that the widgets use, text kept as text.
import { svg } from "./dom";

type Pen = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | SvgContext;

const f = (value: number): string => String(Math.round(value * 100) / 100);

/** A path that remembers itself as SVG's path data. */
export class SvgPath {
  d = "";

  moveTo(x: number, y: number): void {
    this.d += `M${f(x)} ${f(y)}`;
  }

  lineTo(x: number, y: number): void {
    this.d += `L${f(x)} ${f(y)}`;
  }

  bezierCurveTo(ax: number, ay: number, bx: number, by: number, x: number, y: number): void {
    this.d += `C${f(ax)} ${f(ay)} ${f(bx)} ${f(by)} ${f(x)} ${f(y)}`;
  }

  /** Whole circles are all that is drawn. */
  arc(x: number, y: number, r: number, _from: number, _to: number): void {
    this.d += `M${f(x + r)} ${f(y)}A${f(r)} ${f(r)} 0 1 1 ${f(x - r)} ${f(y)}A${f(r)} ${f(r)} 0 1 1 ${f(x + r)} ${f(y)}`;
  }

  rect(x: number, y: number, width: number, height: number): void {
    this.d += `M${f(x)} ${f(y)}h${f(width)}v${f(height)}h${f(-width)}Z`;
  }

  closePath(): void {
    this.d += "Z";
  }
}

/** A path for this context. */
export const newPath = (context: Pen): Path2D =>
  context instanceof SvgContext ? (new SvgPath() as unknown as Path2D) : new Path2D();

/** What `save` keeps; each value until it is set. */
const INK = {
  fillStyle: "#000",
  strokeStyle: "#000",
  lineWidth: 1,
  globalAlpha: 1,
  font: "12px sans-serif",
  textAlign: "left" as CanvasTextAlign,
  textBaseline: "alphabetic" as CanvasTextBaseline,
  lineJoin: "miter" as CanvasLineJoin,
  dash: [] as number[],
  transform: "",
  clipping: "",
};
type Ink = typeof INK;

const ANCHORS: Partial<Record<CanvasTextAlign, string>> = { center: "middle", right: "end", end: "end" };
/** How far below the point the letters' base line lies, in sizes of the font: so all programs place it alike. */
const DROPS: Partial<Record<CanvasTextBaseline, number>> = { middle: 0.35, top: 0.8, bottom: -0.2 };

/** Stands in for a canvas's context while something draws itself; `element` is what came of it. */
export class SvgContext {
  readonly element: SVGSVGElement;
  ink: Ink = { ...INK };
  #path = new SvgPath();
  readonly #saved: Ink[] = [];
  readonly #measure = document.createElement("canvas").getContext("2d");
  #clips = 0;

  constructor(width: number, height: number, paper: string) {
    const size = { width: f(width), height: f(height) };
    this.element = svg("svg", { ...size, viewBox: `0 0 ${size.width} ${size.height}` });
    this.element.append(svg("rect", { ...size, fill: paper }));
    for (const name of Object.keys(INK) as (keyof Ink)[]) {
      Object.defineProperty(this, name, {
        get: () => this.ink[name],
        set: (value: never) => {
          this.ink[name] = value;
        },
      });
    }
  }

  save(): void {
    this.#saved.push({ ...this.ink });
  }

  restore(): void {
    this.ink = this.#saved.pop() ?? this.ink;
  }

  translate(x: number, y: number): void {
    this.ink.transform += `translate(${f(x)} ${f(y)})`;
  }

  rotate(angle: number): void {
    this.ink.transform += `rotate(${f((180 * angle) / Math.PI)})`;
  }

  setLineDash(dash: number[]): void {
    this.ink.dash = dash;
  }

  beginPath(): void {
    this.#path = new SvgPath();
  }

  moveTo = (x: number, y: number): void => this.#path.moveTo(x, y);
  lineTo = (x: number, y: number): void => this.#path.lineTo(x, y);
  rect = (x: number, y: number, width: number, height: number): void => this.#path.rect(x, y, width, height);
  arc = (x: number, y: number, r: number, from: number, to: number): void => this.#path.arc(x, y, r, from, to);
  closePath = (): void => this.#path.closePath();

  clip(): void {
    const id = `gc-clip-${++this.#clips}`;
    const shape = svg("path", { d: this.#path.d, transform: this.ink.transform || undefined });
    this.element.append(svg("clipPath", { id }, shape));
    this.ink.clipping = `url(#${id})`;
  }

  #put(element: SVGElement, attributes: Record<string, string | number>): void {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
    if (this.ink.globalAlpha < 1) element.setAttribute("opacity", f(this.ink.globalAlpha));
    if (this.ink.transform) element.setAttribute("transform", this.ink.transform);
    this.element.append(this.ink.clipping ? svg("g", { "clip-path": this.ink.clipping }, element) : element);
  }

  #stroked(): Record<string, string | number> {
    const { strokeStyle, lineWidth, lineJoin, dash } = this.ink;
    const own = { fill: "none", stroke: strokeStyle, "stroke-width": f(lineWidth), "stroke-linejoin": lineJoin };
    return dash.length ? { ...own, "stroke-dasharray": dash.join(" ") } : own;
  }

  fill(path?: Path2D): void {
    const { d } = (path as unknown as SvgPath) ?? this.#path;
    if (d) this.#put(svg("path", { d }), { fill: this.ink.fillStyle });
  }

  stroke(path?: Path2D): void {
    const { d } = (path as unknown as SvgPath) ?? this.#path;
    if (d) this.#put(svg("path", { d }), this.#stroked());
  }

  fillRect(x: number, y: number, width: number, height: number): void {
    this.#put(svg("rect", { x: f(x), y: f(y), width: f(width), height: f(height) }), { fill: this.ink.fillStyle });
  }

  strokeRect(x: number, y: number, width: number, height: number): void {
    this.#put(svg("rect", { x: f(x), y: f(y), width: f(width), height: f(height) }), this.#stroked());
  }

  clearRect(): void {}

  measureText(text: string): { width: number } {
    if (!this.#measure) return { width: 6 * text.length };
    this.#measure.font = this.ink.font;
    return this.#measure.measureText(text);
  }

  #text(text: string, x: number, y: number): SVGTextElement {
    const [, style, size, family] = /^(.*?)([\d.]+)px (.*)$/.exec(this.ink.font) ?? ["", "", "12", "sans-serif"];
    const weight = /600|bold/.test(style) ? 600 : 400;
    return svg(
      "text",
      {
        x: f(x),
        y: f(y + (DROPS[this.ink.textBaseline] ?? 0) * Number(size)),
        "font-family": family,
        "font-size": size,
        ...(weight > 400 && { "font-weight": weight }),
        ...(style.includes("italic") && { "font-style": "italic" }),
        "text-anchor": ANCHORS[this.ink.textAlign] ?? "start",
      },
      text,
    );
  }

  fillText(text: string, x: number, y: number): void {
    this.#put(this.#text(text, x, y), { fill: this.ink.fillStyle });
  }

  strokeText(text: string, x: number, y: number): void {
    this.#put(this.#text(text, x, y), this.#stroked());
  }

  /** The file's text. */
  toString(): string {
    return new XMLSerializer().serializeToString(this.element);
  }
}

/** Hands a text to the browser as a file to keep. */
export function download(name: string, text: string, type: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** What `paint` draws on a canvas of this size, as the text of an SVG file. */
export function asSvg(
  width: number,
  height: number,
  paper: string,
  paint: (context: CanvasRenderingContext2D) => void,
): string {
  const context = new SvgContext(width, height, paper);
  paint(context as unknown as CanvasRenderingContext2D);
  return context.toString();
}
