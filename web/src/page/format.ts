const MINUS = "\u2212";
const THIN = "\u202f";

/** Formats an integer with thousands separators: 361,280. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}

/** Formats a count and its noun: "1 sample", "320 samples". */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Formats a decimal with a true minus sign. */
export function decimal(value: number, digits = 2): string {
  if (!Number.isFinite(value)) return "not a number";
  const text = Math.abs(value).toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  const zero = Number(Math.abs(value).toFixed(digits)) === 0;
  return value < 0 && !zero ? MINUS + text : text;
}

/** Formats a decimal with an explicit sign. */
export function signed(value: number, digits = 2): string {
  const text = decimal(value, digits);
  return value > 0 && !text.startsWith(MINUS) ? `+${text}` : text;
}

/** Formats a perplexity: two decimals below 1000, none above. */
export function perplexity(value: number): string {
  return value < 1000 ? decimal(value) : count(value);
}

/** Formats bytes in binary units: 1.4 GiB. */
export function bytes(value: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = value;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return `${size.toFixed(digits)} ${units[unit]}`;
}

/** Abbreviates a count: 361 k, 1.1 B. */
export function short(value: number): string {
  const [size, unit] = value >= 1e9 ? [value / 1e9, "B"] : value >= 1e6 ? [value / 1e6, "M"] : [value / 1e3, "k"];
  if (value < 1000) return String(value);
  return `${size >= 100 ? size.toFixed(0) : size.toFixed(1).replace(/\.0$/, "")}${THIN}${unit}`;
}

/** Formats a duration: "42 s", "1 min 20 s", "2 h 5 min". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) {
    const rest = whole % 60;
    return rest ? `${Math.floor(whole / 60)} min ${rest} s` : `${whole / 60} min`;
  }
  const minutes = Math.round(whole / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(minutes / 1440)} days`;
}

/** Formats an estimated duration: "30 seconds", "2 minutes", "3 hours". */
export function roughly(seconds: number): string {
  if (seconds < 8) return "a few seconds";
  if (seconds < 25) return "15 seconds";
  if (seconds < 45) return "30 seconds";
  if (seconds < 90) return "1 minute";
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} minutes`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} hours`;
  return `${Math.round(seconds / 86400)} days`;
}

/** Formats a date and time in the reader's locale. */
export function date(milliseconds: number): string {
  return new Date(milliseconds).toLocaleString(undefined, {
    dateStyle: "medium",
    timeStyle: "short",
  });
}

/** Formats a fraction as whole percent. */
export function percent(share: number): string {
  return `${Math.round(share * 100)}${THIN}%`;
}

/** Formats a message of the worker as a sentence. */
export function sentence(message: string): string {
  const text = message.trim();
  // A file name at the start keeps its case.
  const isWord = /^[a-z’']+(?:[ ,:]|$)/.test(text);
  const first = isWord ? text.slice(0, 1).toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
