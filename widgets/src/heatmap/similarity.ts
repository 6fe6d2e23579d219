// The order in which similar rows are together: computed by the kernel, once.
import type { Session } from "../shared/session";

const PATIENCE = 60_000;

/** Feature rows in order; rejects with a reason to show. */
export async function similarOrder(session: Session, features: number, signal: AbortSignal): Promise<Int32Array> {
  const late = AbortSignal.timeout(PATIENCE);
  try {
    const [order] = await session.ask<number[]>("similarity", null, AbortSignal.any([signal, late]));
    if (order.length !== features) throw new Error("the kernel has another graph");
    return Int32Array.from(order);
  } catch (error) {
    throw late.aborted ? new Error("Sorting by similarity needs a running kernel.") : error;
  }
}
