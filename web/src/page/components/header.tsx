import "./header.css";
import { applyTheme } from "../theme.js";

interface Props {
  dark: boolean;
  onTheme(): void;
}

/** The name and the theme switch. */
export function Header({ dark, onTheme }: Props) {
  return (
    <header class="top">
      <p class="wordmark">
        <img src="./icon.svg" alt="" width="22" height="22" /> minift
      </p>
      <button
        type="button"
        class="quiet"
        onClick={() => {
          applyTheme(dark ? "light" : "dark");
          onTheme();
        }}
      >
        {dark ? "Light theme" : "Dark theme"}
      </button>
    </header>
  );
}
