// What stays at the rim while the graph is panned: token text below, layers on the left, logits above their nodes.
import { type Session, show } from "../shared/session";
import type { Theme } from "../shared/theme";
import type { Camera, Margins } from "./camera";
import type { Scene } from "./scene";

const SIZE = 12;
/** Columns narrower than this have their text upright, and those narrower than a line have none. */
const UPRIGHT = 40;
const TALLEST = 96;
const GAP = 6;

type Context = CanvasRenderingContext2D;

/** The text cut to a width, with an ellipsis. */
export function elide(text: string, width: number, measure: (text: string) => number): string {
  if (measure(text) <= width) return text;
  const characters = [...text];
  let [low, high] = [0, characters.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (measure(`${characters.slice(0, middle).join("")}…`) <= width) low = middle;
    else high = middle - 1;
  }
  return low ? `${characters.slice(0, low).join("")}…` : "";
}

/** Control and direction characters would garble their neighbours. */
export const tame = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, "�");

export class Axes {
  readonly #tokens: string[];
  #elided = new Map<string, string>();

  constructor(private readonly session: Session) {
    this.#tokens = session.meta.tokens.slice(0, session.meta.n_positions).map((token) => tame(show(token)));
  }

  #font(context: Context, theme: Theme, weight = ""): void {
    context.font = `${weight} ${SIZE}px ${theme.font}`;
  }

  #fit(context: Context, text: string, width: number): string {
    const key = `${context.font} ${Math.round(width)} ${text}`;
    let found = this.#elided.get(key);
    if (found === undefined) {
      if (this.#elided.size > 5000) this.#elided.clear();
      found = elide(text, width, (part) => context.measureText(part).width);
      this.#elided.set(key, found);
    }
    return found;
  }

  #upright(camera: Camera, columns: Float32Array): boolean {
    return (camera.zoom * camera.innerWidth) / Math.max(1, columns.length - 1) < UPRIGHT;
  }

  /** What the texts need at the rim, before the camera's margins are known. */
  margins(context: Context, scene: Scene, camera: Camera, theme: Theme): Margins {
    this.#font(context, theme);
    const widest = (texts: string[]) => Math.max(0, ...texts.map((text) => context.measureText(text).width));
    const { rows, columns } = scene.drawn;
    const left = Math.ceil(widest(rows.map(([name]) => name))) + 2 * GAP;
    camera.margins = { ...camera.margins, left, right: 14 };
    const upright = this.#upright(camera, columns);
    const bottom = upright ? Math.min(TALLEST, widest(this.#tokens) + 2 * GAP) : SIZE + 2 * GAP + 2;
    const logits = this.session.meta.targets.length;
    return { left, right: 14, top: logits > 1 ? 64 : 22, bottom: Math.ceil(bottom) };
  }

  /** Lines between columns, under everything. */
  paintGrid(context: Context, scene: Scene, camera: Camera, theme: Theme): void {
    const { columns, rows } = scene.drawn;
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    context.globalAlpha = 0.55;
    context.beginPath();
    const [top, bottom] = [4, camera.height - camera.margins.bottom];
    if (!this.#upright(camera, columns) || columns.length < 60) {
      for (const column of columns.slice(1, -1)) {
        const x = Math.round(camera.toX(column)) + 0.5;
        context.moveTo(x, top);
        context.lineTo(x, bottom);
      }
    }
    context.stroke();
    context.globalAlpha = 0.25;
    context.beginPath();
    for (const [, row] of rows) {
      const y = Math.round(camera.toY(row)) + 0.5;
      context.moveTo(camera.margins.left, y);
      context.lineTo(camera.width, y);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  /** Bands with the texts, over everything; `column` is the one under the pointer. */
  paint(context: Context, scene: Scene, camera: Camera, theme: Theme, column: number): void {
    this.#tokensBelow(context, scene, camera, theme, column);
    this.#layers(context, scene, camera, theme);
  }

  #tokensBelow(context: Context, scene: Scene, camera: Camera, theme: Theme, hovered: number): void {
    const { columns } = scene.drawn;
    const { bottom, left } = camera.margins;
    const top = camera.height - bottom;
    context.fillStyle = theme.paper;
    context.fillRect(0, top, camera.width, bottom);
    context.fillStyle = theme.line;
    context.fillRect(left, top, camera.width - left, 1);
    const upright = this.#upright(camera, columns);
    this.#font(context, theme);
    context.textBaseline = "middle";
    this.#tokens.forEach((token, i) => {
      const [from, to] = [Math.max(left, camera.toX(columns[i])), Math.min(camera.width, camera.toX(columns[i + 1]))];
      if (to - from < (upright ? SIZE - 2 : 8)) return;
      context.fillStyle = i === hovered ? theme.accent : theme.ink;
      const middle = (from + to) / 2;
      if (upright) {
        context.save();
        context.translate(middle, top + GAP);
        context.rotate(-Math.PI / 2);
        context.textAlign = "right";
        context.fillText(this.#fit(context, token, bottom - 2 * GAP), 0, 0);
        context.restore();
      } else {
        context.textAlign = "center";
        context.fillText(this.#fit(context, token, to - from - 6), middle, top + bottom / 2 + 1);
      }
    });
  }

  #layers(context: Context, scene: Scene, camera: Camera, theme: Theme): void {
    const { left, bottom } = camera.margins;
    context.fillStyle = theme.paper;
    context.fillRect(0, 0, left, camera.height);
    context.fillStyle = theme.muted;
    context.textAlign = "right";
    context.textBaseline = "middle";
    this.#font(context, theme);
    let last = Number.POSITIVE_INFINITY;
    for (const [name, row] of scene.drawn.rows) {
      const y = camera.toY(row);
      if (last - y < SIZE + 1 || y > camera.height - bottom - 4 || y < 8) continue;
      context.fillText(name, left - GAP, y);
      last = y;
    }
  }

  /** Texts of the logits at their nodes. */
  paintLogits(context: Context, scene: Scene, camera: Camera, theme: Theme, radius: number): void {
    const { targets } = this.session.meta;
    const slanted = targets.length > 1;
    const first = this.session.nodes.count - targets.length;
    this.#font(context, theme);
    context.fillStyle = theme.ink;
    context.textBaseline = slanted ? "middle" : "bottom";
    let last = Number.NEGATIVE_INFINITY;
    targets.forEach((_, i) => {
      const place = scene.place[first + i];
      if (place < 0) return;
      const [x, y] = [camera.toX(scene.drawn.x[place]), camera.toY(scene.drawn.y[place])];
      const text = tame(this.session.name(first + i));
      if (!slanted) {
        const half = context.measureText(text).width / 2;
        context.textAlign = "center";
        context.fillText(text, Math.min(x, camera.width - half - 4), y - radius - 3);
      } else if (x - last >= SIZE * 1.25) {
        last = x;
        context.save();
        context.translate(x - 1, y - radius - 2);
        context.rotate(Math.PI / 4.5);
        context.textAlign = "right";
        context.fillText(this.#fit(context, text, 110), 0, 0);
        context.restore();
      }
    });
  }

  /** The column whose text lies under a point, or -1. */
  columnAt(scene: Scene, camera: Camera, px: number, py: number): number {
    if (py < camera.height - camera.margins.bottom || px < camera.margins.left) return -1;
    const x = camera.fromX(px);
    return scene.drawn.columns.findLastIndex((start) => start <= x) < this.#tokens.length
      ? scene.drawn.columns.findLastIndex((start) => start <= x)
      : -1;
  }
}
