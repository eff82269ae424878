/**
 * What nodes tell each other to share downloads in progress. docs/cluster-pull.md tells the protocol.
 *
 * Everything that comes from a peer is checked here; unknown fields are left alone.
 *
 * @module
 */
import { isIP } from "node:net";
import { isDigest } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import { isManifestMediaType } from "../oci/media_types.ts";
import { isRegistry, isRepository, isTag, type TagReference } from "../oci/reference.ts";
import type { Peer } from "../routing/router.ts";
import type { Descriptor } from "../store/store.ts";

/** Most entries of a report. */
export const MAX_REPORT_ENTRIES = 64;

/** Most downloads that are told of one content. */
export const MAX_TOLD_DOWNLOADS = 16;

/** Longest identity of a node in characters. */
const MAX_ID_LENGTH = 128;

/** Most addresses of a peer that are taken. */
const MAX_ADDRESSES = 8;

/** What a node does with a content. */
export type ShareState = "fetching" | "following" | "done" | "failed";

const STATES: ReadonlySet<string> = new Set(["fetching", "following", "done", "failed"]);

/** A node wants a content that nobody has. */
export interface Want {
  readonly type: "want";
  /** Digest of the content. */
  readonly key: string;
  /** Bytes that the node has. */
  readonly offset: number;
  /** Number of contents that the node is fetching from upstream. */
  readonly fetching: number;
  /** Parent that the node followed, and that does not deliver. */
  readonly broken?: string;
  /** A node that lies closer to the key did not answer: it may have decided about it until now. */
  readonly lost?: true;
  /**
   * It has just followed another node with other contents, its containerd queues, and that node is likely to ask soon:
   * best is if one fetches all of an image then.
   */
  readonly isLed?: true;
  /** How often the node has been sent on to another coordinator. */
  readonly hops: number;
}

/** A node wants to know who is getting a content. */
export interface Look {
  readonly type: "look";
  readonly key: string;
}

/** A node wants to know what a tag stands for that nobody has. */
export interface Resolve extends TagReference {
  readonly type: "resolve";
}

/** Answer to a {@linkcode Resolve}: what upstream says; nothing if it was not asked, or does not say. */
export interface Resolution {
  readonly descriptor?: Descriptor;
  /** The registry cannot be reached from there: to ask again soon would be to wait in vain. */
  readonly away?: true;
}

/** A content that a node is getting. */
export interface Download {
  readonly peer: Peer;
  /** From upstream, or from another node. */
  readonly state: "fetching" | "following";
  /** Bytes that it has. */
  readonly offset: number;
  /** Size of the content in bytes, where it is known. */
  readonly total?: number;
}

/** How it stands with one content. */
export interface ReportEntry {
  readonly key: string;
  readonly state: ShareState;
  readonly offset: number;
  /** Size of the content in bytes, where it is known. */
  readonly total?: number;
  /** Whom the node follows. */
  readonly parent?: string;
  /** It is to be fetched, and containerd is still busy with others: see `QUEUED_MS`. */
  readonly isQueued?: true;
}

/** A node tells how it stands. */
export interface Report {
  readonly type: "report";
  readonly entries: readonly ReportEntry[];
}

/** Answer to a {@linkcode Report}. */
export interface Noted {
  readonly do: "go on";
  /** Keys of it that a node follows, and that wait in the queue of the one who fetches them. */
  readonly queued?: readonly string[];
}

/** Answer to a {@linkcode Want}. */
export type Instruction =
  /** Go upstream. */
  | { readonly do: "fetch" }
  /** Get it from this peer, who has it or is about to get it. A coordinator that names itself tells no address. */
  | { readonly do: "follow"; readonly peer: Peer }
  /** Another node decides about this key. */
  | { readonly do: "ask"; readonly id: string };

/**
 * Checks a question.
 *
 * @param value JSON from a peer.
 * @returns The question; undefined if it is none.
 */
export function parseQuestion(value: unknown): Want | Report | Look | Resolve | undefined {
  if (!isRecord(value)) return undefined;
  const { type, key, offset, fetching, broken, lost, isLed, hops, entries } = value;
  if (type === "report") {
    if (!Array.isArray(entries) || entries.length > MAX_REPORT_ENTRIES) return undefined;
    const checked = entries.map(parseEntry);
    return checked.includes(undefined)
      ? undefined
      : { type, entries: checked.filter((entry) => entry !== undefined) };
  }
  if (type === "look") return isKey(key) ? { type, key } : undefined;
  if (type === "resolve") return parseResolve(value);
  if (type !== "want" || !isKey(key) || !isCount(offset) || !isCount(fetching)) return undefined;
  if (!isCount(hops) || (broken !== undefined && !isId(broken))) return undefined;
  return {
    type,
    key,
    offset,
    fetching,
    hops,
    ...(broken === undefined ? {} : { broken }),
    ...(lost === true ? { lost } : {}),
    ...(isLed === true ? { isLed } : {}),
  };
}

function parseResolve({ registry, repository, tag }: Record<string, unknown>): Resolve | undefined {
  if (typeof registry !== "string" || !isRegistry(registry)) return undefined;
  if (typeof repository !== "string" || !isRepository(repository)) return undefined;
  if (typeof tag !== "string" || !isTag(tag)) return undefined;
  return { type: "resolve", registry, repository, tag };
}

function parseEntry(value: unknown): ReportEntry | undefined {
  if (!isRecord(value)) return undefined;
  const { key, state, offset, total, parent, isQueued } = value;
  if (!isKey(key) || !isCount(offset) || !isState(state)) return undefined;
  if (parent !== undefined && !isId(parent)) return undefined;
  return {
    key,
    state,
    offset,
    ...(isCount(total) ? { total } : {}),
    ...(parent === undefined ? {} : { parent }),
    ...(isQueued === true ? { isQueued } : {}),
  };
}

/**
 * Checks the answer to a {@linkcode Report}.
 *
 * @param value JSON from a peer.
 * @returns The keys that wait in a queue; none where it tells none, as nodes of an older version do.
 */
export function parseQueued(value: unknown): string[] {
  const queued = isRecord(value) ? value["queued"] : undefined;
  return Array.isArray(queued) ? queued.slice(0, MAX_REPORT_ENTRIES).filter(isKey) : [];
}

/**
 * Checks an answer.
 *
 * @param value JSON from a peer.
 * @returns The instruction; undefined if it is none.
 */
export function parseInstruction(value: unknown): Instruction | undefined {
  if (!isRecord(value)) return undefined;
  const { do: what, id } = value;
  if (what === "fetch") return { do: what };
  if (what === "ask") return isId(id) ? { do: what, id } : undefined;
  const peer = what === "follow" ? parsePeer(value["peer"]) : undefined;
  return peer === undefined ? undefined : { do: "follow", peer };
}

/**
 * Checks the answer to a {@linkcode Look}.
 *
 * @param value JSON from a peer.
 * @returns Who is getting the content; undefined if it is no such answer.
 */
export function parseDownloads(value: unknown): Download[] | undefined {
  const downloads = isRecord(value) ? value["downloads"] : undefined;
  if (!Array.isArray(downloads) || downloads.length > MAX_TOLD_DOWNLOADS) return undefined;
  const checked = downloads.map(parseDownload);
  return checked.includes(undefined) ? undefined : checked.filter((one) => one !== undefined);
}

/**
 * Checks the answer to a {@linkcode Resolve}.
 *
 * @param value JSON from a peer.
 * @returns What the tag stands for, if the coordinator knows; undefined if it is no such answer.
 */
export function parseResolution(value: unknown): Resolution | undefined {
  if (!isRecord(value)) return undefined;
  const { descriptor, away } = value;
  if (descriptor === undefined) return away === true ? { away } : {};
  if (!isRecord(descriptor)) return undefined;
  const { digest, mediaType, size } = descriptor;
  if (typeof digest !== "string" || !isDigest(digest)) return undefined;
  if (typeof mediaType !== "string" || !isManifestMediaType(mediaType)) return undefined;
  if (!isCount(size) || size > MAX_MANIFEST_SIZE) return undefined;
  return { descriptor: { digest, mediaType, size } };
}

function parseDownload(value: unknown): Download | undefined {
  if (!isRecord(value)) return undefined;
  const { state, offset, total } = value;
  const peer = parsePeer(value["peer"]);
  if (peer === undefined || !isCount(offset)) return undefined;
  if (state !== "fetching" && state !== "following") return undefined;
  return { peer, state, offset, ...(isCount(total) ? { total } : {}) };
}

function parsePeer(value: unknown): Peer | undefined {
  if (!isRecord(value)) return undefined;
  const { id, addresses, registryPort } = value;
  if (!isId(id) || !Array.isArray(addresses) || addresses.length > MAX_ADDRESSES) return undefined;
  if (!addresses.every(isAddress)) return undefined;
  if (!isCount(registryPort) || registryPort === 0 || registryPort > 65_535) return undefined;
  return { id, addresses, registryPort };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= MAX_ID_LENGTH;
}

function isKey(value: unknown): value is string {
  return typeof value === "string" && isDigest(value);
}

function isState(value: unknown): value is ShareState {
  return typeof value === "string" && STATES.has(value);
}

function isAddress(value: unknown): value is string {
  return typeof value === "string" && isIP(value) !== 0;
}
