// All edges, drawn aside in slices of a frame, so that panning and hovering only copy a picture.
import type { Camera } from "./camera";
import type { Scene, Sight } from "./scene";
import { range, strokes } from "./stroke";

/** Milliseconds of each frame for drawing edges. */
const SLICE = 7;
/** The strongest edges, which are shown until the first picture is there. */
const STAND_IN = 500;
/** What is drawn beyond each border of the canvas, as a part of its size: so far a drag goes without a new picture. */
const BEYOND = 0.25;

interface Picture {
  canvas: HTMLCanvasElement;
  /** Where the units' origin lay on the screen, how large they were, and the picture's own corner and size. */
  kx: number;
  ky: number;
  x0: number;
  y0: number;
  left: number;
  top: number;
  width: number;
  height: number;
}

const blank = (): Picture => ({
  canvas: document.createElement("canvas"),
  kx: 1,
  ky: 1,
  x0: 0,
  y0: 0,
  left: 0,
  top: 0,
  width: 0,
  height: 0,
});

export class EdgeLayer {
  #front = blank();
  #back = blank();
  #rest: Generator<void> | undefined;
  #frame = 0;
  #wait: ReturnType<typeof setTimeout> | undefined;

  /** `done` runs when a new picture is there. */
  constructor(
    private readonly signal: AbortSignal,
    private readonly done: () => void,
  ) {
    signal.addEventListener("abort", () => {
      this.#stop();
      for (const picture of [this.#front, this.#back]) picture.canvas.width = picture.canvas.height = 0;
    });
  }

  #stop(): void {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#wait);
    this.#rest = undefined;
  }

  /** Draws anew, after `rest` milliseconds without another call; the old picture stands until then. */
  update(scene: Scene, sight: Sight, camera: Camera, dark: boolean, rest: number): void {
    this.#stop();
    if (!this.signal.aborted) this.#wait = setTimeout(() => this.#start(scene, sight, camera, dark), rest);
  }

  /** After a drag: draws anew at once where the old picture has run out, else when the drag rests. */
  follow(scene: Scene, sight: Sight, camera: Camera, dark: boolean, rest: number): void {
    if (!this.#covers(camera)) {
      if (!this.#rest) this.#start(scene, sight, camera, dark);
    } else if (!this.#rest) this.update(scene, sight, camera, dark, rest);
  }

  #start(scene: Scene, sight: Sight, camera: Camera, dark: boolean): void {
    const { width, height, kx, ky, x0, y0 } = camera;
    const ratio = globalThis.devicePixelRatio || 1;
    const [left, top] = [-Math.round(width * BEYOND), -Math.round(height * BEYOND)];
    const { canvas } = this.#back;
    Object.assign(this.#back, { kx, ky, x0, y0, left, top, width: width - 2 * left, height: height - 2 * top });
    canvas.width = Math.round(this.#back.width * ratio);
    canvas.height = Math.round(this.#back.height * ratio);
    if (!canvas.width || !canvas.height) return;
    const context = canvas.getContext("2d")!;
    context.setTransform(ratio, 0, 0, ratio, -left * ratio, -top * ratio);
    const { length } = scene.source;
    const fixed = { kx, ky, x0, y0, left, top, right: width - left, bottom: height - top };
    this.#rest = strokes(context, scene, sight, fixed, dark, range(sight.from, length), length - sight.from);
    this.#slice();
  }

  #slice(): void {
    const end = performance.now() + SLICE;
    while (performance.now() < end) {
      if (!this.#rest || this.#rest.next().done) {
        this.#rest = undefined;
        [this.#front, this.#back] = [this.#back, this.#front];
        this.done();
        return;
      }
    }
    this.#frame = requestAnimationFrame(() => this.#slice());
  }

  /** Where the picture belongs now. */
  #placed(camera: Camera): { left: number; top: number; width: number; height: number } {
    const { kx, ky, x0, y0, left, top, width, height } = this.#front;
    const [sx, sy] = [camera.kx / kx, camera.ky / ky];
    return {
      left: camera.x0 + (left - x0) * sx,
      top: camera.y0 + (top - y0) * sy,
      width: width * sx,
      height: height * sy,
    };
  }

  /** Whether the picture shows all that there is to see of the whole. */
  #covers(camera: Camera): boolean {
    const { left, top, width, height } = this.#placed(camera);
    const beyond = (from: number, to: number, low: number, high: number) => from < low - 1 || to > high + 1;
    const x = [Math.max(0, camera.toX(0)), Math.min(camera.width, camera.toX(camera.columns))];
    const y = [Math.max(0, camera.toY(camera.highest)), Math.min(camera.height, camera.toY(camera.lowest))];
    return !beyond(x[0], x[1], left, left + width) && !beyond(y[0], y[1], top, top + height);
  }

  /** Copies the picture to where it belongs. */
  paint(
    context: CanvasRenderingContext2D,
    scene: Scene,
    sight: Sight,
    camera: Camera,
    dark: boolean,
    alpha: number,
  ): void {
    context.globalAlpha = alpha;
    if (this.#front.width) {
      // Whole device pixels stay sharp while nothing is zoomed.
      const ratio = globalThis.devicePixelRatio || 1;
      const snap = (value: number) => Math.round(value * ratio) / ratio;
      const { left, top, width, height } = this.#placed(camera);
      context.drawImage(this.#front.canvas, snap(left), snap(top), width, height);
    } else {
      const { length } = scene.source;
      const from = Math.max(sight.from, length - STAND_IN);
      for (const _ of strokes(context, scene, sight, camera.fixed, dark, range(from, length), length - sight.from));
    }
    context.globalAlpha = 1;
  }
}
