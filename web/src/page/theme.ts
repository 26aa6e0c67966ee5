/** The chosen theme; null follows the system. */
export type Theme = "light" | "dark" | null;

const KEY = "minift-theme";

/** Returns the theme chosen on an earlier visit. */
export function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem(KEY);
    return stored === "light" || stored === "dark" ? stored : null;
  } catch {
    // Storage may be blocked: follow the system.
    return null;
  }
}

/** Applies a theme and stores it. */
export function applyTheme(theme: Theme): void {
  const { dataset } = document.documentElement;
  if (theme) dataset.theme = theme;
  else delete dataset.theme;
  try {
    if (theme) localStorage.setItem(KEY, theme);
    else localStorage.removeItem(KEY);
  } catch {
    // The theme then lasts for this visit.
  }
}

/** Whether the page is currently dark. */
export function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
