// What takes long to draw, drawn aside in slices of a frame, so that panning and hovering only copy pictures.
import type { Camera, Fixed } from "./camera";

export type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;
/** Draws on a context, and stops now and then. */
export type Drawing = (context: Context, view: Fixed) => Generator<void>;

/** Milliseconds of each frame. */
const SLICE = 12;
/** What is drawn beyond each border of the canvas, as a part of its size: so far a drag goes without new pictures. */
const BEYOND = 0.25;

/** Pictures of one view: units on the canvas, and the part of it that they show. */
interface Shot {
  view: Fixed;
  pictures: ImageBitmap[];
}

export class Layers {
  #shot: Shot | undefined;
  #rest: Generator<void> | undefined;
  #frame = 0;
  #wait: ReturnType<typeof setTimeout> | undefined;

  /** `drawings` gives what to draw, a picture each; `done` runs when new pictures are there. */
  constructor(
    private readonly signal: AbortSignal,
    private readonly drawings: () => Drawing[],
    private readonly done: () => void,
  ) {
    signal.addEventListener("abort", () => {
      this.#stop();
      this.#replace(undefined);
    });
  }

  get ready(): boolean {
    return this.#shot !== undefined;
  }

  #stop(): void {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#wait);
    this.#rest = undefined;
  }

  #replace(shot: Shot | undefined): void {
    for (const picture of this.#shot?.pictures ?? []) picture.close();
    this.#shot = shot;
  }

  /** Draws anew, after `rest` milliseconds without another call; the old pictures stand until then. */
  update(camera: Camera, rest: number): void {
    this.#stop();
    if (!this.signal.aborted) this.#wait = setTimeout(() => this.#start(camera), rest);
  }

  /** After a drag: draws anew at once where the old pictures have run out, else when the drag rests. */
  follow(camera: Camera, rest: number): void {
    if (this.#rest) return;
    if (this.#covers(camera)) this.update(camera, rest);
    else this.#start(camera);
  }

  #start(camera: Camera): void {
    this.#stop();
    const ratio = globalThis.devicePixelRatio || 1;
    const [wide, high] = [Math.round(camera.width * BEYOND), Math.round(camera.height * BEYOND)];
    const view: Fixed = {
      ...camera.fixed,
      left: -wide,
      top: -high,
      right: camera.width + wide,
      bottom: camera.height + high,
    };
    const [width, height] = [(view.right - view.left) * ratio, (view.bottom - view.top) * ratio].map(Math.round);
    if (!width || !height) return;
    const pictures: ImageBitmap[] = [];
    const drawings = this.drawings();
    this.#rest = (function* () {
      for (const draw of drawings) {
        const canvas = new OffscreenCanvas(width, height);
        const context = canvas.getContext("2d", { willReadFrequently: true })!;
        context.setTransform(ratio, 0, 0, ratio, -view.left * ratio, -view.top * ratio);
        for (const _ of draw(context, view)) {
          context.getImageData(0, 0, 1, 1); // or the strokes are only noted down, to be drawn all in one frame
          yield;
        }
        pictures.push(canvas.transferToImageBitmap());
      }
    })();
    this.#slice({ view, pictures });
  }

  #slice(shot: Shot): void {
    const end = performance.now() + SLICE;
    while (performance.now() < end) {
      if (this.#rest?.next().done) {
        this.#rest = undefined;
        this.#replace(shot);
        this.done();
        return;
      }
    }
    this.#frame = requestAnimationFrame(() => this.#slice(shot));
  }

  /** Where a shot belongs now. */
  #placed({ view }: Shot, camera: Camera): [left: number, top: number, width: number, height: number] {
    const [sx, sy] = [camera.kx / view.kx, camera.ky / view.ky];
    const left = camera.x0 + (view.left - view.x0) * sx;
    const top = camera.y0 + (view.top - view.y0) * sy;
    return [left, top, (view.right - view.left) * sx, (view.bottom - view.top) * sy];
  }

  /** Whether the pictures show all that there is to see of the whole. */
  #covers(camera: Camera): boolean {
    if (!this.#shot) return false;
    const [left, top, width, height] = this.#placed(this.#shot, camera);
    const beyond = (from: number, to: number, low: number, high: number) => from < low - 1 || to > high + 1;
    const x = [Math.max(0, camera.toX(0)), Math.min(camera.width, camera.toX(camera.columns))];
    const y = [Math.max(0, camera.toY(camera.highest)), Math.min(camera.height, camera.toY(camera.lowest))];
    return !beyond(x[0], x[1], left, left + width) && !beyond(y[0], y[1], top, top + height);
  }

  /** Copies a picture to where it belongs; false while there is none. */
  paint(context: CanvasRenderingContext2D, camera: Camera, which: number, alpha = 1): boolean {
    const picture = this.#shot?.pictures[which];
    if (!this.#shot || !picture) return false;
    // Whole device pixels stay sharp while nothing is zoomed.
    const ratio = globalThis.devicePixelRatio || 1;
    const snap = (value: number) => Math.round(value * ratio) / ratio;
    const [left, top, width, height] = this.#placed(this.#shot, camera);
    context.globalAlpha = alpha;
    context.drawImage(picture, snap(left), snap(top), width, height);
    context.globalAlpha = 1;
    return true;
  }
}
