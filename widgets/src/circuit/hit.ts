// Which place lies under the pointer: an index by unit cells, so that the cost does not grow with the graph.

export class Hits {
  readonly #cells = new Map<number, number[]>();
  readonly #lowest: number;
  readonly #rows: number;

  /** (places) x in unit columns, y in whole rows. */
  constructor(
    private readonly x: Float32Array,
    private readonly y: Float32Array,
  ) {
    let [low, high] = [0, 0];
    for (const row of y) {
      low = Math.min(low, row);
      high = Math.max(high, row);
    }
    this.#lowest = Math.round(low);
    this.#rows = Math.round(high) - this.#lowest + 1;
    for (let i = 0; i < x.length; i++) {
      const key = this.#key(Math.floor(x[i]), Math.round(y[i]));
      const cell = this.#cells.get(key);
      if (cell) cell.push(i);
      else this.#cells.set(key, [i]);
    }
  }

  #key(column: number, row: number): number {
    return column * this.#rows + row - this.#lowest;
  }

  /** The place nearest to a point within `reach` pixels of which `allowed` is true, or -1. */
  nearest(x: number, y: number, kx: number, ky: number, reach: number, allowed: (place: number) => boolean): number {
    let [best, least] = [-1, reach * reach];
    const [left, right] = [Math.floor(x - reach / kx), Math.floor(x + reach / kx)];
    const rows = [Math.ceil(y - reach / ky), Math.floor(y + reach / ky)];
    for (let row = Math.max(rows[0], this.#lowest); row <= Math.min(rows[1], this.#lowest + this.#rows - 1); row++) {
      for (let column = left; column <= right; column++) {
        for (const i of this.#cells.get(this.#key(column, row)) ?? []) {
          const distance = ((this.x[i] - x) * kx) ** 2 + ((this.y[i] - y) * ky) ** 2;
          if (distance < least && allowed(i)) [best, least] = [i, distance];
        }
      }
    }
    return best;
  }

  /** The places within a rectangle, in units. */
  within(x1: number, y1: number, x2: number, y2: number): number[] {
    const [left, right, low, high] = [Math.min(x1, x2), Math.max(x1, x2), Math.min(y1, y2), Math.max(y1, y2)];
    const found: number[] = [];
    for (let i = 0; i < this.x.length; i++) {
      if (this.x[i] >= left && this.x[i] <= right && this.y[i] >= low && this.y[i] <= high) found.push(i);
    }
    return found;
  }
}
