// Where columns and rows lie on the canvas. What is seen is kept as a part of the whole, so that it stays when the
// canvas is resized or the columns change with the pruning.

/** CSS pixels. */
export interface Margins {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** A view that does not move: units on the canvas, and the part of it that is drawn. */
export interface Fixed {
  kx: number;
  ky: number;
  x0: number;
  y0: number;
  left: number;
  top: number;
  right: number;
  bottom: number;
}

const LEAST_ZOOM = 0.5;
/** A unit cell is at most this wide, in CSS pixels, unless the whole needs more to fill the canvas. */
const WIDEST = 160;

export class Camera {
  /** 1: all fits. */
  zoom = 1;
  /** The middle of the canvas, as a part of the whole: 0 to 1 from the left, and from the top. */
  cx = 0.5;
  cy = 0.5;
  width = 1;
  height = 1;
  margins: Margins = { left: 0, right: 0, top: 0, bottom: 0 };

  /** The whole in units: from 0 to `columns`, and from -0.5 below the lowest row to 0.5 above the highest. */
  constructor(
    public columns = 1,
    public lowest = 0,
    public highest = 0,
  ) {}

  get innerWidth(): number {
    return Math.max(1, this.width - this.margins.left - this.margins.right);
  }
  get innerHeight(): number {
    return Math.max(1, this.height - this.margins.top - this.margins.bottom);
  }
  get rows(): number {
    return this.highest - this.lowest + 1;
  }
  /** Pixels of a unit. */
  get kx(): number {
    return (this.zoom * this.innerWidth) / this.columns;
  }
  get ky(): number {
    return (this.zoom * this.innerHeight) / this.rows;
  }
  /** Pixels of the units' origin. */
  get x0(): number {
    return this.margins.left + this.innerWidth * (0.5 - this.cx * this.zoom);
  }
  get y0(): number {
    return this.margins.top + this.innerHeight * (0.5 - this.cy * this.zoom) + (this.highest + 0.5) * this.ky;
  }
  /** The view as it is now, as plain numbers: reading the getters for each of many edges takes long. */
  get fixed(): Fixed {
    const { kx, ky, x0, y0, width, height } = this;
    return { kx, ky, x0, y0, left: 0, top: 0, right: width, bottom: height };
  }
  toX(x: number): number {
    return this.x0 + x * this.kx;
  }
  toY(y: number): number {
    return this.y0 - y * this.ky;
  }
  fromX(pixel: number): number {
    return (pixel - this.x0) / this.kx;
  }
  fromY(pixel: number): number {
    return (this.y0 - pixel) / this.ky;
  }

  fit(): void {
    this.zoom = 1;
    this.cx = this.cy = 0.5;
  }

  panBy(dx: number, dy: number): void {
    this.cx -= dx / (this.innerWidth * this.zoom);
    this.cy -= dy / (this.innerHeight * this.zoom);
    this.#clamp();
  }

  /** Zooms so that what lies under this pixel stays there. */
  zoomAt(px: number, py: number, factor: number): void {
    const most = Math.max(8, (WIDEST * this.columns) / this.innerWidth);
    const zoom = Math.min(most, Math.max(LEAST_ZOOM, this.zoom * factor));
    const u = (px - this.margins.left) / this.innerWidth - 0.5;
    const v = (py - this.margins.top) / this.innerHeight - 0.5;
    this.cx += u / this.zoom - u / zoom;
    this.cy += v / this.zoom - v / zoom;
    this.zoom = zoom;
    this.#clamp();
  }

  /** Moves as little as is needed to see this place, `margin` pixels from the border. */
  reveal(x: number, y: number, margin = 30): void {
    const { left, right, top, bottom } = this.margins;
    const [px, py] = [this.toX(x), this.toY(y)];
    const inside = (value: number, low: number, high: number) =>
      Math.min(Math.max(value, Math.min(low, (low + high) / 2)), Math.max(high, (low + high) / 2));
    const dx = inside(px, left + margin, this.width - right - margin) - px;
    const dy = inside(py, top + margin, this.height - bottom - margin) - py;
    if (this.zoom > 1 && (dx || dy)) this.panBy(dx, dy);
  }

  #clamp(): void {
    this.cx = Math.min(1, Math.max(0, this.cx));
    this.cy = Math.min(1, Math.max(0, this.cy));
  }
}
