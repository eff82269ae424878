// @ts-check
/**
 * Numbers and times for people.
 *
 * @module
 */

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/**
 * @param {number} bytes
 * @returns {string} Such as `28.1 MB`.
 */
export function formatBytes(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 999.95 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/**
 * @param {number} bytesPerSecond
 * @returns {string}
 */
export function formatRate(bytesPerSecond) {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/**
 * @param {number} milliseconds
 * @returns {string} With as many digits as mean something.
 */
export function formatMilliseconds(milliseconds) {
  if (milliseconds < 100) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  return formatSeconds(milliseconds / 1000);
}

/**
 * @param {number} seconds
 * @returns {string} Its two largest units, such as `3 h 12 min`.
 */
export function formatSeconds(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => Number(value) > 0);
  return parts.slice(first, first + 2).map(([value, unit]) => `${value} ${unit}`).join(" ");
}

/**
 * @param {number} milliseconds
 * @returns {string}
 */
export function formatAgo(milliseconds) {
  return milliseconds < 1000 ? "now" : `${formatSeconds(Math.floor(milliseconds / 1000))} ago`
    .replace(/^(\d)\.0 s/, "$1 s");
}

/**
 * @param {string} digest
 * @returns {string} Its beginning; the whole text if it is no digest.
 */
export function shortDigest(digest) {
  return digest.replace(/^(sha\d+:[0-9a-f]{12})[0-9a-f]+$/, "$1…");
}

/**
 * @param {number} part
 * @param {number} whole
 * @returns {string}
 */
export function formatPercent(part, whole) {
  if (whole <= 0) return "–";
  const percent = part * 100 / whole;
  // Rounded, a part would look like the whole, or like nothing.
  if (part < whole && percent > 99) return "99 %";
  if (part > 0 && percent < 1) return "1 %";
  return `${Math.round(percent)} %`;
}
