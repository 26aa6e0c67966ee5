import type { Failure } from "./protocol.js";

/** What a command of the worker fails with. */
export class MiniftError extends Error {
  override readonly name = "MiniftError";
  /** Kind of the failure, such as `TensorShape`, `DataLine` or `Lost`. */
  readonly kind: string;

  constructor(failure: Failure) {
    super(failure.message);
    this.kind = failure.kind;
  }
}

/** A failure with words of our own. */
export function failure(kind: string, message: string): MiniftError {
  return new MiniftError({ kind, message });
}

/** Whatever was thrown, as it crosses from the worker to the page. */
export function toFailure(thrown: unknown): Failure {
  if (thrown instanceof WebAssembly.RuntimeError) {
    const panic = (globalThis as { miniftPanic?: string }).miniftPanic;
    // A module that gets no more memory ends without a word.
    const silent = `minift ended (${thrown.message}), most likely because memory ran out: take smaller batches, shorter samples or a smaller model`;
    return { kind: "Crash", message: panic ?? silent };
  }
  if (thrown instanceof Error) {
    const kind = (thrown as { kind?: unknown }).kind;
    return { kind: typeof kind === "string" ? kind : thrown.name, message: thrown.message };
  }
  return { kind: "Unknown", message: String(thrown) };
}
