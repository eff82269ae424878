// @ts-check
/**
 * The chart of savings: one column for a span of time, each made of what came from peers, from this node, and from
 * upstream.
 *
 * @module
 */
import { svg } from "./dom.js";
import { formatBytes } from "./format.js";

/** @typedef {import("../node_activity.ts").SavingsSample} Sample */
/** @typedef {{ from: number, until: number, peers: number, local: number, upstream: number, given: number }} Column */

/** Series from the bottom up. */
const SERIES = /** @type {const} */ (["peers", "local", "upstream"]);

const WIDTH = 580;
const HEIGHT = 210;
const LEFT = 60;
const BOTTOM = 24;
const TOP = 8;

/** Spans that can be shown: how long, in how many columns, and at which steps the time is written. */
export const SPANS = {
  hour: { ms: 3_600_000, columns: 60, stepMs: 10 * 60_000 },
  day: { ms: 86_400_000, columns: 72, stepMs: 4 * 3_600_000 },
};

/**
 * Puts samples into columns.
 *
 * @param {readonly Sample[]} samples
 * @param {{ ms: number, columns: number }} span
 * @param {number} now End of the last column.
 * @returns {Column[]}
 */
export function columnsOf(samples, { ms, columns }, now) {
  const width = ms / columns;
  const end = Math.ceil(now / width) * width;
  const start = end - ms;
  const result = Array.from({ length: columns }, (_, index) => ({
    from: start + index * width,
    until: start + (index + 1) * width,
    peers: 0,
    local: 0,
    upstream: 0,
    given: 0,
  }));
  for (const sample of samples) {
    // A sample is of the time before it.
    const column = result[Math.min(columns - 1, Math.ceil((sample.at - start) / width) - 1)];
    if (column === undefined) continue;
    column.peers += sample.peers;
    column.local += sample.local;
    column.upstream += sample.upstream;
    column.given += sample.given;
  }
  return result;
}

/**
 * The top of a scale with four steps of a round number of bytes.
 *
 * @param {number} most
 * @returns {number}
 */
export function scaleTop(most) {
  const step = Math.max(1, most / 4);
  const power = 10 ** Math.floor(Math.log10(step));
  const factor = [1, 2, 2.5, 5, 10].find((one) => one * power >= step) ?? 10;
  return factor * power * 4;
}

/**
 * Draws the chart.
 *
 * @param {readonly Column[]} columns
 * @param {{ stepMs: number }} span
 * @param {string} description What is to be seen.
 * @returns {SVGElement}
 */
export function drawChart(columns, { stepMs }, description) {
  const root = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": description,
  });
  const top = scaleTop(Math.max(...columns.map((one) => one.peers + one.local + one.upstream)));
  const height = HEIGHT - TOP - BOTTOM;
  /** @param {number} bytes */
  const y = (bytes) => TOP + height - bytes / top * height;
  for (let step = 0; step <= 4; step++) {
    const bytes = top * step / 4;
    root.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(bytes), y2: y(bytes) }));
    const label = svg("text", { x: LEFT - 6, y: y(bytes) + 4, "text-anchor": "end" });
    label.textContent = top <= 4 ? (step === 0 ? "0 B" : "") : formatBytes(bytes);
    root.append(label);
  }
  const width = (WIDTH - LEFT) / columns.length;
  columns.forEach((column, index) => {
    const x = LEFT + index * width;
    root.append(...bars(column, x, width, y));
    const mark = Math.ceil(column.from / stepMs) * stepMs;
    if (mark < column.until && x < WIDTH - 40) root.append(timeLabel(mark, x));
  });
  return root;
}

/**
 * @param {Column} column
 * @param {number} x
 * @param {number} width
 * @param {(bytes: number) => number} y
 * @returns {SVGElement[]}
 */
function bars(column, x, width, y) {
  const drawn = [];
  let below = 0;
  for (const series of SERIES) {
    const bytes = column[series];
    if (bytes <= 0) continue;
    const bottom = y(below);
    const height = Math.max(1, bottom - y(below + bytes));
    drawn.push(
      svg("rect", {
        class: "bar",
        "data-series": series,
        x: x + 1,
        y: bottom - height,
        width: width - 2,
        height,
      }),
    );
    below += bytes;
  }
  if (drawn.length === 0) return drawn;
  const area = svg("rect", { class: "area", x, y: TOP, width, height: HEIGHT - TOP - BOTTOM });
  const title = svg("title", {});
  title.textContent = [
    `until ${formatTime(column.until)}`,
    `${formatBytes(column.peers)} from peers`,
    `${formatBytes(column.local)} from this node`,
    `${formatBytes(column.upstream)} from upstream`,
  ].join("\n");
  area.append(title);
  return [...drawn, area];
}

/**
 * @param {number} at
 * @param {number} x
 * @returns {SVGElement}
 */
function timeLabel(at, x) {
  const label = svg("text", { x, y: HEIGHT - 6 });
  label.textContent = formatTime(at);
  return label;
}

/**
 * @param {number} at
 * @returns {string} Hours and minutes of the viewer's clock.
 */
export function formatTime(at) {
  const date = new Date(at);
  return [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, "0")).join(
    ":",
  );
}
