import type { MemoryAdvice } from "../../package/index.js";
import type { App } from "../app.js";
import { bytes } from "../format.js";

/** Settings with which a run fits into memory, and a button that applies them. */
export function Advice({ app, advice }: { app: App; advice: MemoryAdvice }) {
  const { changes, total, weights } = advice;
  const apply = (): void => {
    const { adapter, learningRate, batchSize, maxLength, gradientCheckpointing = false } = advice.settings;
    app.settings.change({ adapter, learningRate, batchSize, maxLength, gradientCheckpointing });
    if (weights) void app.inputs.useWeights(weights);
  };
  return (
    <div class="actions" data-testid="advice">
      <button type="button" class="quiet" onClick={apply}>
        Use {list(changes)}
      </button>
      <span class="facts">It then takes about {bytes(total)}.</span>
    </div>
  );
}

/** Lists words: "a, b and c". */
export function list(words: string[]): string {
  const last = words.at(-1) ?? "";
  return words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${last}` : last;
}
