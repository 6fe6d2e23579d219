// A canvas that is as sharp as the screen, follows its element's size, and draws once a frame at most.

export interface Surface {
  canvas: HTMLCanvasElement;
  context: CanvasRenderingContext2D;
  /** CSS pixels. */
  width: number;
  height: number;
  /** Draw in the next frame. */
  redraw(): void;
}

/** Fills `canvas` (sized by its style sheet) by `draw`, until the signal aborts. */
export function surface(canvas: HTMLCanvasElement, signal: AbortSignal, draw: (on: Surface) => void): Surface {
  const context = canvas.getContext("2d")!;
  let frame = 0;
  const on: Surface = {
    canvas,
    context,
    width: 0,
    height: 0,
    redraw() {
      if (!frame && !signal.aborted) frame = requestAnimationFrame(paint);
    },
  };
  function paint() {
    frame = 0;
    const { clientWidth, clientHeight } = canvas;
    if (!clientWidth || !clientHeight) return;
    const ratio = globalThis.devicePixelRatio || 1;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    on.width = clientWidth;
    on.height = clientHeight;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, clientWidth, clientHeight);
    draw(on);
  }
  const observer = new ResizeObserver(on.redraw);
  observer.observe(canvas);
  signal.addEventListener("abort", () => {
    observer.disconnect();
    cancelAnimationFrame(frame);
    canvas.width = canvas.height = 0; // gives the pixels back at once
  });
  on.redraw();
  return on;
}
