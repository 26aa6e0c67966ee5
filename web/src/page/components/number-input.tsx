import { useEffect, useId, useState } from "preact/hooks";
import type { App } from "../app.js";
import { complaint } from "../fields.js";
import type { NumberField } from "../fields.js";
import type { State } from "../state.js";

interface Props {
  app: App;
  state: State;
  field: NumberField;
  disabled?: boolean;
}

/** A number of the settings. What is not valid stays in the form, and is not taken. */
export function NumberInput({ app, state, field, disabled }: Props) {
  const id = useId();
  const value = state.settings[field.key];
  const [text, setText] = useState(String(value));
  const wrong = state.invalid[field.key];

  useEffect(() => {
    // The value can change from elsewhere: by a link, or sized to the time.
    if (Number(text) !== value && !wrong) setText(String(value));
  }, [value, wrong]);

  const change = (next: string, badInput: boolean): void => {
    setText(next);
    const message = badInput ? "Give a number." : complaint(field, next);
    app.complain(field.key, message);
    if (message === null) app.change({ [field.key]: Number(next) });
  };
  return (
    <div class="field">
      <label for={id}>{field.label}</label>
      <input
        id={id}
        type="number"
        inputMode={field.whole ? "numeric" : "decimal"}
        required
        // The arrow keys count from the least: not from a least that is a hair above 0.
        min={field.whole ? field.min : 0}
        max={field.max}
        step={field.step}
        value={text}
        disabled={disabled}
        aria-invalid={wrong ? "true" : "false"}
        aria-describedby={`${id}-help${wrong ? ` ${id}-wrong` : ""}`}
        onInput={({ currentTarget }) =>
          change(currentTarget.value, currentTarget.validity.badInput)
        }
      />
      <p class="help" id={`${id}-help`}>
        {field.help}
      </p>
      {wrong && (
        <p class="wrong" id={`${id}-wrong`} role="alert">
          {wrong}
        </p>
      )}
    </div>
  );
}
