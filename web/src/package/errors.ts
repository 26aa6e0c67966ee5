import type { Failure } from "./protocol.js";

/** The error of a failed command. */
export class MiniftError extends Error {
  override readonly name = "MiniftError";
  /** Error kind, such as `TensorShape`, `DataLine` or `Lost`. */
  readonly kind: string;

  constructor(failure: Failure) {
    super(failure.message);
    this.kind = failure.kind;
  }
}

/** Returns an error of the given kind. */
export function failure(kind: string, message: string): MiniftError {
  return new MiniftError({ kind, message });
}

/** Converts a thrown value for the message to the page. */
export function toFailure(thrown: unknown): Failure {
  if (thrown instanceof WebAssembly.RuntimeError) {
    const panic = (globalThis as { miniftPanic?: string }).miniftPanic;
    // A module that runs out of memory traps without a panic message.
    const outOfMemory = `minift crashed (${thrown.message}), most likely out of memory: reduce the batch size or the sample length, or use a smaller model`;
    return { kind: "Crash", message: panic ?? outOfMemory };
  }
  if (thrown instanceof Error) {
    const kind = (thrown as { kind?: unknown }).kind;
    return { kind: typeof kind === "string" ? kind : thrown.name, message: thrown.message };
  }
  return { kind: "Unknown", message: String(thrown) };
}
