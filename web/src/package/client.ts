import { failure, MiniftError } from "./errors.js";
import type { FetchOptions } from "./hub.js";
import { fetchFromHub } from "./hub.js";
import type { Check, Command, Commands, DialPoint, JobEvent, Message, Method, Request } from "./protocol.js";

interface Pending {
  resolve(value: unknown): void;
  reject(error: MiniftError): void;
}

/** A set of listeners. */
class Listeners<Arguments extends unknown[]> {
  readonly #listeners = new Set<(...values: Arguments) => void>();

  add(listener: (...values: Arguments) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  call(...values: Arguments): void {
    for (const listener of this.#listeners) listener(...values);
  }
}

/**
 * The page's end of a training worker. If the worker is lost (it crashed, or its GPU failed),
 * pending requests are rejected, a new worker is started, and `onLost` listeners are called.
 */
export class Client {
  readonly #url: URL;
  readonly #hub: string | null;
  readonly #pending = new Map<number, Pending>();
  readonly #events = new Listeners<[job: string, event: JobEvent]>();
  readonly #checks = new Listeners<[check: Check]>();
  readonly #points = new Listeners<[job: string, method: Method, point: DialPoint]>();
  readonly #texts = new Listeners<[job: string, voice: number, piece: string]>();
  readonly #losses = new Listeners<[message: string]>();
  #worker: Worker;
  #lastId = 0;
  /** Whether the worker ever started; restarting one that never did would not help. */
  #alive = false;

  /**
   * Starts the worker, by default `worker.js` beside this module. `hub` is the origin that {@link fetchModel} fetches
   * models from, such as `https://huggingface.co`; without it, nothing is ever fetched from another origin.
   */
  constructor(options: { worker?: URL; hub?: string } = {}) {
    this.#url = options.worker ?? new URL("./worker.js", import.meta.url);
    this.#hub = options.hub ? new URL(options.hub).origin : null;
    this.#worker = this.#start();
  }

  /** Sends a command to the worker. Rejects with a {@link MiniftError}. */
  request<K extends Command["type"]>(command: Command & { type: K }): Promise<Commands[K]["reply"]> {
    const request: Request = { id: ++this.#lastId, command };
    return new Promise((resolve, reject) => {
      this.#pending.set(request.id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage(request);
    });
  }

  /**
   * Fetches the files of a model by its name on the hub, such as `owner/name`, for the command `loadModel`. Rejects
   * with a {@link MiniftError}, also if the client was created without a hub.
   */
  async fetchModel(name: string, options: FetchOptions = {}): Promise<File[]> {
    if (!this.#hub) {
      throw failure("NoHub", 'this client fetches no models: create it with { hub: "https://huggingface.co" }');
    }
    return fetchFromHub(this.#hub, name, options);
  }

  /** Listens to job events; returns a function that unsubscribes. */
  onEvent(listener: (job: string, event: JobEvent) => void): () => void {
    return this.#events.add(listener);
  }

  /** Listens to the results of `examine` as they arrive. */
  onCheck(listener: (check: Check) => void): () => void {
    return this.#checks.add(listener);
  }

  /** Listens to the parts of `dial` as they are complete. */
  onDial(listener: (job: string, method: Method, point: DialPoint) => void): () => void {
    return this.#points.add(listener);
  }

  /** Listens to pieces of the texts of `answer`; `voice` is an index of its voices. */
  onText(listener: (job: string, voice: number, piece: string) => void): () => void {
    return this.#texts.add(listener);
  }

  /** Listens to losses of the worker. The new worker has no device, model or texts. */
  onLost(listener: (message: string) => void): () => void {
    return this.#losses.add(listener);
  }

  /** Terminates the worker. */
  close(): void {
    this.#worker.terminate();
    this.#rejectAll("closed");
  }

  #start(): Worker {
    const worker = new Worker(this.#url, { type: "module", name: "minift" });
    const lose = (message: string): void => {
      if (this.#worker === worker) this.#lose(message);
    };
    worker.onmessage = ({ data }: MessageEvent<Message>) => this.#receive(data, lose);
    worker.onerror = (event) => {
      event.preventDefault();
      lose(event.message || "its script failed to load");
    };
    return worker;
  }

  #receive(message: Message, lose: (message: string) => void): void {
    switch (message.type) {
      case "alive":
        this.#alive = true;
        // The worker holds this lock while it lives: acquiring it means that the worker died.
        void navigator.locks.request(message.lock, () => lose("it was terminated"));
        break;
      case "reply":
        this.#take(message.id)?.resolve(message.value);
        break;
      case "failure":
        this.#take(message.id)?.reject(new MiniftError(message.failure));
        break;
      case "event":
        this.#events.call(message.job, message.event);
        break;
      case "examined":
        this.#checks.call(message.check);
        break;
      case "dialled":
        this.#points.call(message.job, message.method, message.point);
        break;
      case "text":
        this.#texts.call(message.job, message.voice, message.piece);
        break;
      case "lost":
        lose(message.message);
        break;
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #lose(message: string): void {
    this.#worker.terminate();
    if (this.#alive) {
      this.#alive = false;
      this.#worker = this.#start();
    }
    this.#rejectAll(message);
    this.#losses.call(message);
  }

  #rejectAll(message: string): void {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of all) reject(failure("Lost", message));
  }
}
