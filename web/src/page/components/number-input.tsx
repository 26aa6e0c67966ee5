import { useEffect, useId, useState } from "preact/hooks";
import type { App } from "../app.js";
import type { NumberField } from "../fields.js";
import { complaint } from "../fields.js";
import type { State } from "../state.js";

interface Props {
  app: App;
  state: State;
  field: NumberField;
  disabled?: boolean;
}

/** A numeric setting. An invalid value stays in the form but does not change the settings. */
export function NumberInput({ app, state, field, disabled }: Props) {
  const id = useId();
  const value = state.settings[field.key];
  const [text, setText] = useState(String(value));
  const error = state.invalid[field.key];

  useEffect(() => {
    // The value may change elsewhere: by a link, or sized by time.
    if (Number(text) !== value && !error) setText(String(value));
  }, [value, error]);

  const change = (next: string, badInput: boolean): void => {
    setText(next);
    const message = badInput ? "Enter a number." : complaint(field, next);
    app.settings.setInvalid(field.key, message);
    if (message === null) app.settings.change({ [field.key]: Number(next) });
  };
  return (
    <div class="field">
      <label for={id}>{field.label}</label>
      <input
        id={id}
        type="number"
        inputMode={field.whole ? "numeric" : "decimal"}
        required
        // The arrow keys count from the minimum, so a tiny positive minimum is rounded to 0.
        min={field.whole ? field.min : 0}
        max={field.max}
        step={field.step}
        value={text}
        disabled={disabled}
        aria-invalid={error ? "true" : "false"}
        aria-describedby={`${id}-help${error ? ` ${id}-error` : ""}`}
        onInput={({ currentTarget }) => change(currentTarget.value, currentTarget.validity.badInput)}
      />
      <p class="help" id={`${id}-help`}>
        {field.help}
      </p>
      {error && (
        <p class="wrong" id={`${id}-error`} role="alert">
          {error}
        </p>
      )}
    </div>
  );
}
