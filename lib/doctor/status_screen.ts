/**
 * The state of a mirror on one screen.
 *
 * @module
 */
import type { NodeStatus, PartStatus, TransferStatus } from "../debug/node_status.ts";
import { placeOf } from "../transfer/place_of.ts";
import { aligned, formatBytes, formatDuration } from "./text.ts";

/** Peers that are shown; one screen has room for no more. */
const MAX_SHOWN = 16;

/**
 * Writes the state for people.
 *
 * @param status The state.
 * @returns Lines, each with its newline.
 */
export function formatStatus(status: NodeStatus): string {
  const { advertised, peers, lost, links } = status;
  const zone = status.zone === undefined ? "" : `, zone ${status.zone}`;
  const facts = [
    ["Kagami", `${status.version}, up ${formatDuration(status.uptimeSeconds)}${zone}`],
    ["node", `${status.id} at ${status.addresses.join(", ")}`],
    ["store", partText(status.store)],
    ["router", partText(status.router)],
    ["links", `${links.connections} connections with ${links.streams} streams`],
    [
      "announced",
      advertised === undefined
        ? "nothing yet"
        : `${advertised.tags} tags, ${advertised.images} images, ${advertised.contents} contents`,
    ],
    ["requests", `${status.requests} now; ${status.containerdRequests} of containerd so far`],
    ["uploads", transferText(status.uploads)],
    ["downloads", transferText(status.downloads)],
  ];
  const peerRows = peers.slice(0, MAX_SHOWN).map(({ zone, version, id, ...peer }) => [
    `  ${placeOf(peer)}`,
    version === undefined ? "no version told" : `Kagami ${version}`,
    zone === undefined ? "" : `zone ${zone}`,
    id,
  ]);
  const lostRows = lost.slice(0, MAX_SHOWN).map(({ addresses, agoMs, id }) => [
    `  ${addresses.join(", ")}`,
    `lost ${formatDuration(agoMs / 1000)} ago`,
    id,
  ]);
  return [
    ...aligned(facts),
    "",
    `${peers.length} peers${peers.length > MAX_SHOWN ? `, ${MAX_SHOWN} of them:` : ""}`,
    ...aligned(peerRows),
    ...(lost.length === 0 ? [] : [`${lost.length} lost`, ...aligned(lostRows)]),
    "",
  ].join("\n");
}

function partText({ name, ready, detail }: PartStatus): string {
  return `${name}, ${ready ? "ready" : "not ready"}: ${detail}`;
}

function transferText({ active, most, bytesPerSecond }: TransferStatus): string {
  const bound = most === 0 ? "" : ` of ${most}`;
  return `${active}${bound}${
    bytesPerSecond === 0 ? "" : `, at most ${formatBytes(bytesPerSecond)}/s`
  }`;
}
