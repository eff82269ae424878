// @ts-check
/// <reference lib="dom" />
/**
 * Keeps the page up to date, and starts measurements.
 *
 * @module
 */
import { byId, setText } from "./dom.js";
import { formatTime } from "./chart.js";
import {
  showImages,
  showMeasurement,
  showNode,
  showPeers,
  showProblems,
  showSavings,
  showTransfers,
} from "./sections.js";

/** Time from one answer to the next question, in milliseconds. */
const EVERY_MS = 2000;

/** Images are asked for once in so many rounds. */
const IMAGES_EVERY = 4;

/** The node counts as gone when it has not answered for so long, in milliseconds. */
const PATIENCE_MS = 8000;

let isPaused = false;
let rounds = 0;
/** @type {number | undefined} */
let lastAnswerAt;
/** @type {SavingsSeries | undefined} */
let series;
let nodeNow = Date.now();
/** Counts changes of the filter: an answer to an older one is of no use. */
let filterVersion = 0;

/** @typedef {import("../node_activity.ts").Overview} Overview */
/** @typedef {import("../node_activity.ts").SavingsSeries} SavingsSeries */
/** @typedef {import("../node_activity.ts").ImageList} ImageList */

/**
 * @param {string} path
 * @returns {Promise<unknown>} What the node tells.
 */
async function ask(path) {
  const response = await fetch(`../${path}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
  const date = Date.parse(response.headers.get("date") ?? "");
  if (!Number.isNaN(date)) nodeNow = date;
  const value = await response.json();
  if (!response.ok) throw new Error(value.error ?? `status ${response.status}`);
  return value;
}

async function update() {
  const overview = /** @type {Overview} */ (await ask("overview"));
  showNode(overview);
  showProblems(overview);
  showPeers(overview);
  showTransfers(overview);
  series = /** @type {SavingsSeries} */ (await ask("savings"));
  redraw();
  if (rounds % IMAGES_EVERY === 0) await updateImages();
  rounds += 1;
}

async function updateImages() {
  const version = ++filterVersion;
  const filter = /** @type {HTMLInputElement} */ (byId("filter")).value;
  try {
    const list = await ask(`images?filter=${encodeURIComponent(filter)}`);
    if (version === filterVersion) showImages(/** @type {ImageList} */ (list));
  } catch (error) {
    // The store is away, which the problems tell of.
    if (version === filterVersion) {
      setText(byId("images-count"), `The images cannot be listed: ${messageOf(error)}.`);
    }
  }
}

function redraw() {
  const { value } = /** @type {HTMLSelectElement} */ (byId("span"));
  if (series !== undefined) showSavings(series, value === "day" ? "day" : "hour", nodeNow);
}

/**
 * @param {"live" | "paused" | "gone" | "waiting"} state
 * @param {string} text
 */
function showState(state, text) {
  const element = byId("state");
  element.dataset["state"] = state;
  setText(element, text);
  const isGone = state === "gone";
  document.body.classList.toggle("gone", isGone);
  const banner = byId("banner");
  if (banner.hidden === isGone) {
    banner.hidden = !isGone;
    const since = lastAnswerAt === undefined
      ? ""
      : ` What is shown is of ${formatTime(lastAnswerAt)}.`;
    setText(banner, isGone ? `The node does not answer.${since} Trying again.` : "");
  }
}

async function loop() {
  while (true) {
    if (!isPaused && !document.hidden) {
      try {
        await update();
        lastAnswerAt = Date.now();
        if (!isPaused) showState("live", `Live, every ${EVERY_MS / 1000} s`);
      } catch {
        // Once may be a mishap of the network.
        if (lastAnswerAt === undefined || Date.now() - lastAnswerAt > PATIENCE_MS / 2) {
          showState("gone", "No answer");
        }
      }
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

/**
 * @param {unknown} error
 */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * @param {string} image
 */
async function measure(image) {
  const button = /** @type {HTMLButtonElement} */ (byId("measure-go"));
  // Not disabled, which would take the focus away.
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  byId("measure-result").hidden = true;
  byId("measure-remedy").hidden = true;
  setText(byId("measure-status"), `Fetching ${image} from peers…`);
  try {
    const response = await fetch("../measure", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ image }),
    });
    const value = await response.json();
    if (response.ok) showMeasurement(value);
    else setText(byId("measure-status"), `Not measured: ${value.error}.`);
  } catch (error) {
    setText(byId("measure-status"), `Not measured: ${messageOf(error)}.`);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

byId("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  if (isPaused) showState("paused", "Paused");
  else showState("waiting", "Waiting for the node");
});
byId("span").addEventListener("change", redraw);
byId("filter").addEventListener("input", () => void updateImages());
byId("measure").addEventListener("submit", (event) => {
  event.preventDefault();
  void measure(/** @type {HTMLInputElement} */ (byId("image")).value.trim());
});
void loop();
