import "./chat.css";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Answer, Job, Method } from "../../package/index.js";
import { methodTitles } from "../../package/index.js";
import type { App } from "../app.js";
import { sentence } from "../format.js";
import type { State, Turn } from "../state.js";
import { Alert } from "./alert.js";

interface Props {
  app: App;
  state: State;
  job: Job;
}

/** Maximum length of a message, in characters. */
const MAX_TEXT = 4000;

/** Conversations with the untouched and a trained model, side by side. */
export function Chat({ app, state, job }: Props) {
  const { hasTemplate, busy, error } = state.chat;
  return (
    <section class="chat" aria-labelledby="chat-title" data-testid="chat">
      <h2 id="chat-title">{hasTemplate === false ? "Let it write" : "Talk to it"}</h2>
      {hasTemplate === null ? (
        <>
          <p class="help">The untouched and the trained model answer side by side.</p>
          <div class="actions">
            <button type="button" class="quiet" disabled={busy} onClick={() => void app.chat.open(job)}>
              {busy ? "Loading the models…" : "Open the chat"}
            </button>
          </div>
        </>
      ) : (
        <Conversation app={app} state={state} job={job} />
      )}
      {error && <Alert id="chat-error">{error}</Alert>}
    </section>
  );
}

function Conversation({ app, state, job }: Props) {
  const { turns, busy, stopping, hasTemplate } = state.chat;
  const finished = job.trainings.filter(({ finished }) => finished).map(({ method }) => method);
  const [chosen, setChosen] = useState<Method | null>(null);
  const method = chosen && finished.includes(chosen) ? chosen : finished[0];
  const [text, setText] = useState(hasTemplate ? "" : job.settings.prompt);
  const [varied, setVaried] = useState(false);
  const id = useId();
  const log = useRef<HTMLOListElement>(null);
  const last = turns.at(-1);
  useEffect(() => {
    // Follows the text while it arrives.
    if (log.current) log.current.scrollTop = log.current.scrollHeight;
  }, [last]);
  if (!method) return null;
  const send = (): void => {
    if (busy || text.trim() === "") return;
    void app.chat.send(job, method, text, varied);
    if (hasTemplate) setText("");
  };
  return (
    <>
      {turns.length > 0 && (
        <ol class="turns" ref={log} tabIndex={0} aria-label="Conversation">
          {turns.map((turn, index) => (
            <TurnView key={index} turn={turn} busy={busy && turn === last} />
          ))}
        </ol>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <div class="field">
          <label for={id}>{hasTemplate ? "Message" : "Beginning of a text"}</label>
          <textarea
            id={id}
            rows={2}
            maxLength={MAX_TEXT}
            value={text}
            onInput={({ currentTarget }) => setText(currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
              event.preventDefault();
              send();
            }}
          />
        </div>
        <div class="actions">
          {busy ? (
            <button type="button" class="primary small" disabled={stopping} onClick={() => app.chat.stop()}>
              {stopping ? "Stopping…" : "Stop"}
            </button>
          ) : (
            <button type="submit" class="primary small" disabled={text.trim() === ""}>
              {hasTemplate ? "Send" : "Continue"}
            </button>
          )}
          {finished.length > 1 && (
            <fieldset class="segments small">
              <legend class="visually-hidden">Trained model</legend>
              {finished.map((value) => (
                <label key={value}>
                  <input
                    type="radio"
                    name="chat-method"
                    checked={value === method}
                    disabled={busy}
                    onChange={() => setChosen(value)}
                  />
                  <span>{methodTitles[value]}</span>
                </label>
              ))}
            </fieldset>
          )}
          <fieldset class="segments small">
            <legend class="visually-hidden">Choice of words</legend>
            {[false, true].map((value) => (
              <label key={String(value)}>
                <input type="radio" name="chat-varied" checked={varied === value} onChange={() => setVaried(value)} />
                <span>{value ? "Varied" : "Most likely"}</span>
              </label>
            ))}
          </fieldset>
          {turns.length > 0 && !busy && (
            <button type="button" class="quiet" onClick={() => void app.chat.open(job)}>
              Start over
            </button>
          )}
        </div>
      </form>
    </>
  );
}

function TurnView({ turn, busy }: { turn: Turn; busy: boolean }) {
  return (
    <li>
      <p class="prompt">{turn.text}</p>
      <div class="voices">
        {turn.voices.map(({ method, weight }, index) => (
          <article
            key={method ?? "untouched"}
            class={method ? `method ${method}` : ""}
            data-testid={`answer-${method ?? "untouched"}`}
          >
            <h3>
              {method && <span class="swatch" aria-hidden="true" />} {method ? methodTitles[method] : "Untouched"}
              {method && weight !== 1 && <small> strength {weight}</small>}
            </h3>
            <AnswerText answer={turn.answers[index]} busy={busy} />
          </article>
        ))}
      </div>
    </li>
  );
}

function AnswerText({ answer, busy }: { answer: Answer | undefined; busy: boolean }) {
  if (answer?.error) return <p class="wrong">{sentence(answer.error)}</p>;
  const text = answer?.text.trim();
  return <p class={text ? "voice" : "voice pending"}>{text || (busy ? "…" : "(empty)")}</p>;
}
