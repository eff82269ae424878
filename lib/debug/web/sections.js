// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Shows what the node tells, section by section.
 *
 * @module
 */
import { columnsOf, drawChart, formatTime, SPANS } from "./chart.js";
import { byId, setRows, setText, syncChildren } from "./dom.js";
import {
  formatAgo,
  formatBytes,
  formatMilliseconds,
  formatPercent,
  formatRate,
  formatSeconds,
  shortDigest,
} from "./format.js";

/** @typedef {import("../node_activity.ts").Overview} Overview */
/** @typedef {import("../node_activity.ts").TransferView} Transfer */
/** @typedef {import("../node_activity.ts").FinishedTransfer} Finished */
/** @typedef {import("../node_activity.ts").Problem} Problem */
/** @typedef {import("../node_activity.ts").Probe} Probe */
/** @typedef {import("../node_activity.ts").ImageView} ImageView */
/** @typedef {import("../node_activity.ts").MeasuredContent} MeasuredContent */
/** @typedef {import("../node_status.ts").PartStatus} PartStatus */
/** @typedef {import("../node_status.ts").TransferStatus} TransferStatus */
/** @typedef {import("./dom.js").Cell} Cell */

/** @type {Readonly<Record<Transfer["direction"], string>>} */
const DIRECTIONS = {
  "from-peer": "from a peer",
  "to-peer": "to a peer",
  "to-client": "to containerd",
  "from-upstream": "from upstream",
};

/**
 * @param {string} text
 * @returns {Cell}
 */
function number(text) {
  return { text, kind: "number" };
}

/**
 * @param {Overview} overview
 */
export function showNode({ status, totals }) {
  const { id, addresses, version, zone, advertised, peers, requests, settings } = status;
  const zoneText = zone === undefined ? "" : `, zone ${zone}`;
  setText(byId("where"), `${addresses[0] ?? "?"}:${settings.registryPort}${zoneText}`);
  document.title = `Kagami ${addresses[0] ?? id}`;
  pairs("tiles", [
    ["From peers", formatBytes(totals.peers)],
    ["Saved", formatPercent(totals.peers, totals.peers + totals.upstream)],
    ["From upstream", formatBytes(totals.upstream)],
    ["Given to peers", formatBytes(totals.given)],
    ["Peers", String(peers.length)],
    ["Requests now", String(requests)],
  ]);
  pairs("facts", [
    ["Version", `${version}, up ${formatSeconds(status.uptimeSeconds)}`],
    ["Identity", id],
    ["Addresses", addresses.join(", ")],
    ["Store", partText(status.store)],
    ["Router", partText(status.router)],
    [
      "Announced",
      advertised === undefined
        ? "nothing yet"
        : `${advertised.tags} tags, ${advertised.images} images, ${advertised.contents} contents`,
    ],
    ["Uploads", limitText(status.uploads)],
    ["Downloads", limitText(status.downloads)],
    ["containerd", `${status.containerdRequests} requests since the start`],
    [
      "Mirrored",
      settings.mirroredRegistries.length === 0
        ? "all registries"
        : settings.mirroredRegistries.join(", "),
    ],
  ]);
}

/**
 * @param {string} id
 * @param {readonly (readonly [string, string])[]} entries
 */
function pairs(id, entries) {
  syncChildren(
    byId(id),
    entries,
    ([name]) => name,
    () => {
      const box = document.createElement("div");
      box.append(document.createElement("dt"), document.createElement("dd"));
      return box;
    },
    (box, [name, value]) => {
      const [dt, dd] = box.children;
      if (dt !== undefined) setText(dt, name);
      if (dd !== undefined) setText(dd, value);
    },
  );
}

/**
 * @param {PartStatus} part
 */
function partText({ name, ready, detail }) {
  return `${name}, ${ready ? "ready" : "not ready"}: ${detail}`;
}

/**
 * @param {TransferStatus} transfers
 */
function limitText({ active, most, bytesPerSecond }) {
  const bound = most === 0 ? "" : ` of ${most}`;
  return `${active}${bound} now${
    bytesPerSecond === 0 ? "" : `, at most ${formatRate(bytesPerSecond)}`
  }`;
}

/**
 * @param {Overview} overview
 */
export function showPeers({ status, probes }) {
  const here = status.peers.map(({ id, addresses, registryPort, zone, version }) => {
    const probe = probes[id];
    const address = addresses[0] ?? "?";
    const host = address.includes(":") ? `[${address}]` : address;
    return {
      key: id,
      cells: [
        {
          text: `${host}:${registryPort}`,
          title: addresses.join(", "),
          kind: /** @type {const} */ ("code"),
        },
        stateCell(probe),
        number(probe?.latencyMs === undefined ? "–" : formatMilliseconds(probe.latencyMs)),
        zone === undefined ? "–" : zone === status.zone ? `${zone} (same)` : zone,
        version ?? "not told",
        {
          text: id.length > 16 ? `…${id.slice(-6)}` : id,
          title: id,
          kind: /** @type {const} */ ("code"),
        },
      ],
    };
  });
  const lost = status.lost.map(({ id, addresses, agoMs }) => ({
    key: `lost ${id}`,
    cells: [
      { text: addresses.join(", "), kind: /** @type {const} */ ("code") },
      { text: `lost ${formatAgo(agoMs)}`, kind: /** @type {const} */ ("bad") },
      number("–"),
      "–",
      "–",
      {
        text: id.length > 16 ? `…${id.slice(-6)}` : id,
        title: id,
        kind: /** @type {const} */ ("code"),
      },
    ],
  }));
  setRows("peers", [...here, ...lost], "No peers.");
}

/**
 * @param {Probe | undefined} probe
 * @returns {Cell}
 */
function stateCell(probe) {
  if (probe === undefined) return { text: "not asked yet", kind: "quiet" };
  if (probe.state === "ready") return { text: "ready", kind: "good" };
  if (probe.state === "not-ready") return { text: "answers, not ready", kind: "bad" };
  return { text: "does not answer", kind: "bad", title: probe.failure ?? "" };
}

/**
 * @param {Overview} overview
 */
export function showTransfers({ transfers, moreTransfers, finished }) {
  const rows = transfers.map((transfer) => {
    const { id, bytes, size, bytesPerSecond, elapsedMs } = transfer;
    const percent = formatPercent(bytes, size);
    const label = `${shortDigest(transfer.key)} ${DIRECTIONS[transfer.direction]}`;
    return {
      key: `${id} ${transfer.key}`,
      cells: /** @type {(Cell | string)[]} */ ([
        ...whatCells(transfer),
        { text: percent, progress: { value: bytes, max: size, label } },
        number(`${formatBytes(bytes)} of ${formatBytes(size)}`),
        number(formatRate(bytesPerSecond)),
        number(formatMilliseconds(elapsedMs)),
      ]),
    };
  });
  if (moreTransfers > 0) rows.push({ key: "more", cells: [`and ${moreTransfers} more`] });
  setRows("transfers", rows, "Nothing is on its way.");
  setRows("finished", finished.map(finishedRow), "Nothing yet.");
}

/**
 * @param {Finished} transfer
 */
function finishedRow(transfer) {
  const { id, isComplete, bytes, bytesPerSecond, endedAgoMs } = transfer;
  return {
    key: String(id),
    cells: [
      ...whatCells(transfer),
      /** @type {Cell} */ (isComplete
        ? { text: "whole", kind: "good" }
        : { text: "broken off", kind: "bad" }),
      number(formatBytes(bytes)),
      number(formatRate(bytesPerSecond)),
      number(formatAgo(endedAgoMs)),
    ],
  };
}

/**
 * @param {Transfer} transfer
 * @returns {Cell[]}
 */
function whatCells({ key, repository, direction, parties }) {
  const content = shortDigest(key);
  // A tag names the repository itself.
  const text = repository === "" || content.startsWith(repository)
    ? content
    : `${content} ${repository}`;
  return [
    { text, title: key, kind: "code" },
    { text: DIRECTIONS[direction] },
    { text: parties.length === 0 ? "–" : parties.join(", ") },
  ];
}

/**
 * @param {Overview} overview
 */
export function showProblems({ problems, errors }) {
  byId("problems-none").hidden = problems.length + errors.length > 0;
  const list = byId("problems-now");
  list.hidden = problems.length === 0;
  syncChildren(
    list,
    problems,
    ({ what }) => what.replace(/\d+ s ago/, ""),
    () => {
      const item = document.createElement("li");
      item.append(document.createElement("strong"), document.createElement("span"));
      return item;
    },
    (item, { level, what, remedy }) => {
      item.dataset["level"] = level;
      const [strong, span] = item.children;
      if (strong !== undefined) {
        setText(strong, `${level === "failure" ? "Failure" : "Warning"}: ${what}`);
      }
      if (span !== undefined) setText(span, remedy === undefined ? "" : `Remedy: ${remedy}`);
    },
  );
  byId("errors-box").hidden = errors.length === 0;
  setRows(
    "errors",
    errors.map(({ level, what, remedy, count, lastAgoMs }) => ({
      key: what,
      cells: [
        { text: what, kind: level === "failure" ? "bad" : undefined },
        remedy ?? "look at the log of the node at that time",
        number(String(count)),
        number(formatAgo(lastAgoMs)),
      ].map((cell) => /** @type {Cell} */ (cell)),
    })),
    "None.",
  );
}

/**
 * @param {import("../node_activity.ts").SavingsSeries} series
 * @param {"hour" | "day"} name
 * @param {number} now By the clock of the node.
 */
export function showSavings(series, name, now) {
  const span = SPANS[name];
  const columns = columnsOf(series[name], span, now);
  const sum = { peers: 0, local: 0, upstream: 0, given: 0 };
  for (const column of columns) {
    sum.peers += column.peers;
    sum.local += column.local;
    sum.upstream += column.upstream;
    sum.given += column.given;
  }
  const outside = sum.peers + sum.upstream;
  const words = outside + sum.local === 0
    ? "containerd got nothing through this node."
    : `${formatBytes(sum.peers)} came from peers instead of upstream (${
      formatPercent(sum.peers, outside)
    } of what this node did not have), ${formatBytes(sum.upstream)} from upstream, ${
      formatBytes(sum.local)
    } from its own store.`;
  const text = `In the last ${name}, ${words} ${formatBytes(sum.given)} went to peers.`;
  setText(byId("savings-summary"), text);
  byId("chart").replaceChildren(drawChart(columns, span, `Column chart. ${text}`));
  const filled = columns.filter((one) => one.peers + one.local + one.upstream + one.given > 0);
  setRows(
    "savings",
    filled.reverse().map((one) => ({
      key: String(one.until),
      cells: [
        formatTime(one.until),
        number(formatBytes(one.peers)),
        number(formatBytes(one.local)),
        number(formatBytes(one.upstream)),
        number(formatBytes(one.given)),
      ],
    })),
    "Nothing yet.",
  );
}

/**
 * @param {import("../node_activity.ts").ImageList} list
 */
export function showImages({ images, matching, total }) {
  const shown = images.length < matching ? `, the first ${images.length} of them shown` : "";
  const all = total === 1 ? "1 image" : `${total} images`;
  const text = matching === total ? all : `${matching} of ${all} match`;
  setText(byId("images-count"), `${text}${shown}.`);
  setRows(
    "images",
    images.map((image) => ({
      key: image.name,
      cells: [
        { text: image.name, kind: /** @type {const} */ ("code") },
        {
          text: shortDigest(image.digest),
          title: image.digest,
          kind: /** @type {const} */ ("code"),
        },
        image.isMirrored ? "yes" : "no, by configuration",
        whereCell(image),
      ],
    })),
    total === 0 ? "No tagged images." : "No image matches.",
  );
}

/**
 * @param {ImageView} image
 * @returns {Cell}
 */
function whereCell({ located }) {
  if (located === undefined) return { text: "looking", kind: "quiet" };
  const { peers, complete, agoMs } = located;
  const places = peers.map(({ addresses, registryPort }) =>
    `${addresses[0] ?? "?"}:${registryPort}`
  );
  const title = `looked up ${formatAgo(agoMs)}`;
  if (places.length === 0) return { text: complete ? "no peer" : "no peer found", title };
  const shown = places.slice(0, 6).join(", ");
  const rest = places.length > 6 ? ` and ${places.length - 6} more` : "";
  const count = places.length === 1 ? "1 peer" : `${places.length} peers`;
  return { text: `${count}: ${shown}${rest}`, title };
}

/**
 * @param {import("../node_activity.ts").Measurement} measurement
 */
export function showMeasurement({ image, found, contents, size, durationMs, incomplete, remedy }) {
  const rate = durationMs > 0 ? `, ${formatRate(size * 1000 / durationMs)}` : "";
  const result = `${formatBytes(size)} in ${formatMilliseconds(durationMs)}${rate}`;
  setText(
    byId("measure-status"),
    incomplete === undefined
      ? `${image}: ${result}, ${contents.length} contents.`
      : `${image}: ${incomplete}.${size > 0 ? ` ${result} came.` : ""}`,
  );
  const advice = byId("measure-remedy");
  advice.hidden = remedy === undefined;
  setText(advice, remedy === undefined ? "" : `Remedy: ${remedy}`);
  byId("measure-result").hidden = found.length === 0;
  setRows(
    "found",
    found.map(({ peer, afterMs }) => ({
      key: peer,
      cells: [{ text: peer, kind: "code" }, number(formatMilliseconds(afterMs))],
    })),
    "Nobody.",
  );
  setRows("measured", contents.map(measuredRow), "Nothing.");
}

/**
 * @param {MeasuredContent} content
 * @param {number} index
 */
function measuredRow({ kind, digest, size, from, firstByteMs, durationMs, failure }, index) {
  return {
    key: `${index} ${digest}`,
    cells: [
      { text: shortDigest(digest), title: digest, kind: /** @type {const} */ ("code") },
      kind,
      failure === undefined ? from ?? "–" : { text: failure, kind: /** @type {const} */ ("bad") },
      number(formatBytes(size)),
      number(firstByteMs === undefined ? "–" : formatMilliseconds(firstByteMs)),
      number(formatMilliseconds(durationMs)),
      number(durationMs > 0 ? formatRate(size * 1000 / durationMs) : "–"),
    ],
  };
}
