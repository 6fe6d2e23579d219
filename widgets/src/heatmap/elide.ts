// Texts that are longer than their room.

/** The text, cut with an ellipsis to a width; remembered. */
export function elide(
  context: CanvasRenderingContext2D,
  text: string,
  width: number,
  known: Map<string, string>,
): string {
  const key = `${context.font} ${width} ${text}`;
  const found = known.get(key);
  if (found !== undefined) return found;
  let fitted = text.slice(0, 200);
  if (fitted !== text || context.measureText(fitted).width > width) {
    let [low, high] = [0, fitted.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(`${fitted.slice(0, middle)}…`).width <= width) low = middle;
      else high = middle - 1;
    }
    fitted = `${fitted.slice(0, low).trimEnd()}…`;
  }
  if (known.size > 4000) known.clear();
  known.set(key, fitted);
  return fitted;
}
