const { port1, port2 } = new MessageChannel();
const waiting: (() => void)[] = [];
port1.onmessage = () => waiting.shift()?.();

/**
 * Yields to the event loop. On the CPU a run never awaits anything else, so that commands would not be received. A
 * message to itself queues behind pending messages, and arrives sooner than any timer.
 */
export function yieldToMessages(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    port2.postMessage(null);
  });
}
