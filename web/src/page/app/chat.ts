import type { Answer, Job, Method } from "../../package/index.js";
import type { App } from "../app.js";
import type { ChatState, Turn } from "../state.js";
import { errorText, isLoss } from "./words.js";

/** Milliseconds between renders while text arrives. */
const FLUSH_INTERVAL = 60;
/** Temperature of varied answers. */
const TEMPERATURE = 0.8;

/** Conversations with the untouched and the trained model, side by side. */
export class Chat {
  readonly #app: App;
  /** Pieces that are not shown yet, by voice. */
  #pieces = new Map<number, string>();
  #timer = 0;

  constructor(app: App) {
    this.#app = app;
  }

  /** Begins new conversations. */
  async open(job: Job): Promise<void> {
    this.#set({ turns: [], busy: true, error: null });
    try {
      const { hasTemplate } = await this.#app.client.request({ type: "openChat", id: job.id });
      this.#set({ hasTemplate, busy: false });
    } catch (error) {
      this.#set({ busy: false, error: isLoss(error) ? null : errorText(error) });
    }
  }

  /** Lets the untouched model and a training answer. */
  async send(job: Job, method: Method, text: string, varied: boolean): Promise<void> {
    const app = this.#app;
    const weight = app.state.dials[method]?.weight ?? 1;
    const voices = [
      { method: null, weight: 0 },
      { method, weight },
    ];
    const turn: Turn = { text, voices, answers: voices.map(() => ({ text: "", error: null })) };
    this.#pieces.clear();
    this.#set({ turns: [...app.state.chat.turns, turn], busy: true, stopping: false, error: null });
    try {
      const temperature = varied ? TEMPERATURE : 0;
      const answers = await app.client.request({ type: "answer", id: job.id, voices, text, temperature });
      this.#answered(answers);
      app.say(answers.map(({ text, error }) => text || error).join(". "));
    } catch (error) {
      this.#set({ error: isLoss(error) ? null : errorText(error) });
    } finally {
      this.#pieces.clear();
      this.#set({ busy: false, stopping: false });
    }
  }

  /** Ends the answers in progress. */
  stop(): void {
    this.#set({ stopping: true });
    this.#app.client.request({ type: "stopAnswer" }).catch(() => undefined);
  }

  /** Receives a piece of an answer. */
  receive(id: string, voice: number, piece: string): void {
    if (this.#app.state.job?.id !== id) return;
    this.#pieces.set(voice, (this.#pieces.get(voice) ?? "") + piece);
    this.#timer ||= setTimeout(() => this.#flush(), FLUSH_INTERVAL);
  }

  #flush(): void {
    this.#timer = 0;
    const turn = this.#app.state.chat.turns.at(-1);
    if (!turn || this.#pieces.size === 0) return;
    const pieces = this.#pieces;
    this.#pieces = new Map();
    this.#answered(
      turn.answers.map(({ text, error }, voice): Answer => ({ text: text + (pieces.get(voice) ?? ""), error })),
    );
  }

  /** Replaces the answers of the last turn. */
  #answered(answers: Answer[]): void {
    const { turns } = this.#app.state.chat;
    const last = turns.at(-1);
    if (last) this.#set({ turns: [...turns.slice(0, -1), { ...last, answers }] });
  }

  #set(patch: Partial<ChatState>): void {
    this.#app.set({ chat: { ...this.#app.state.chat, ...patch } });
  }
}
