/**
 * Peers in memory for a `BlobDownload`, each with a script of what it does, behind a source that offers them as the
 * mirror does.
 *
 * @module
 */
import assert from "node:assert/strict";
import { NotFoundError, PeerError, VerificationError } from "../../../lib/errors.ts";
import { ChunkList, ChunkListBuilder } from "../../../lib/oci/chunk_list.ts";
import { sha256Digest, splitDigest } from "../../../lib/oci/digest.ts";
import type { Peer } from "../../../lib/routing/router.ts";
import type { ByteRange } from "../../../lib/store/store.ts";
import { BlobDownload } from "../../../lib/transfer/blob_download.ts";
import { ChunkBuffers } from "../../../lib/transfer/chunk_buffers.ts";
import type { DownloadSource } from "../../../lib/transfer/download_source.ts";
import type { HttpResponse } from "../../../lib/transfer/http_client.ts";
import type { PeerAnswer } from "../../../lib/transfer/peer_client.ts";
import { narrowed, widened } from "../../../lib/transfer/wanted_range.ts";
import type { TestContent } from "../support/content.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { fakeTimers, finished } from "../support/fake_timers.ts";

/** What a peer does. Left out, it delivers all that it is asked for. */
export interface Script {
  /** Bytes that it takes for the content. */
  readonly bytes?: Uint8Array;
  /** Most bytes of one read, by its place in the content. */
  readonly piece?: number | ((at: number) => number);
  /** How long a read takes, in milliseconds by the clock. Default: no time. */
  readonly delayMs?: number | ((at: number, request: number) => number);
  /** How long an answer takes, in milliseconds by the clock. */
  readonly answerMs?: (request: number) => number;
  /** Awaited before it answers, with the number of the request, from 0; what it throws is the answer. */
  readonly ask?: (range: ByteRange, request: number, peers: FakePeers) => Promise<void> | void;
  /**
   * Awaited before each read, with the place in the content and the number of the request. What it throws breaks the
   * body, and `"end"` ends it.
   */
  readonly read?: (
    at: number,
    request: number,
    peers: FakePeers,
  ) => Promise<void> | "end" | void;
}

/** Waits until the other side gives up. */
export function hang(): Promise<never> {
  return new Promise(() => {});
}

/** The list of a content's chunks, unless it is empty. */
export function listOf({ bytes, digest }: TestContent): ChunkList | undefined {
  const builder = new ChunkListBuilder(digest);
  builder.update(bytes);
  return builder.finish().list;
}

/**
 * The list of a liar: it fits the bytes that are told in place of the content, but ends with the content's digest, since
 * that is looked at.
 */
export function lyingListOf(content: TestContent, told: Uint8Array): ChunkList {
  const builder = new ChunkListBuilder(sha256Digest(told));
  builder.update(told);
  const bytes = builder.finish().list!.bytes.slice();
  const { hex } = splitDigest(content.digest);
  bytes.set(Uint8Array.fromHex(hex), bytes.length - hex.length / 2);
  return ChunkList.parse(bytes, content.digest, told.length)!;
}

class FakeResponse implements HttpResponse {
  readonly status = 206;
  readonly headers: ReadonlyMap<string, string> = new Map();
  readonly contentLength: number;
  isClosed = false;
  isReading = false;
  readonly #peers: FakePeers;
  readonly #script: Script;
  readonly #bytes: Uint8Array;
  readonly #request: number;
  #at: number;
  readonly #end: number;
  readonly #closing = Promise.withResolvers<never>();
  /** Ends a delay. */
  readonly #abort = new AbortController();

  constructor(
    peers: FakePeers,
    script: Script,
    { start, end }: ByteRange,
    request: number,
  ) {
    this.#peers = peers;
    this.#script = script;
    this.#bytes = script.bytes ?? peers.content.bytes;
    this.#request = request;
    this.#at = start;
    this.#end = end;
    this.contentLength = end - start + 1;
    this.#closing.promise.catch(() => {});
  }

  async read(into: Uint8Array): Promise<number> {
    assert.ok(!this.isReading, "one read at a time");
    assert.ok(into.length > 0, "there is room for bytes");
    if (this.isClosed) throw new PeerError("read after close");
    if (this.#at > this.#end) return 0;
    this.isReading = true;
    try {
      const { read, delayMs, piece = 256 * 1024 } = this.#script;
      const ms = typeof delayMs === "function" ? delayMs(this.#at, this.#request) : delayMs ?? 0;
      if (ms > 0) await this.#peers.clock.sleep(ms, this.#abort.signal);
      const said = this.isClosed ? undefined : read?.(this.#at, this.#request, this.#peers);
      const result = await Promise.race([said, this.#closing.promise]);
      if (this.isClosed) throw new PeerError("closed while it was read");
      if (result === "end") return 0;
      const most = typeof piece === "function" ? piece(this.#at) : piece;
      const count = Math.min(into.length, most, this.#end + 1 - this.#at);
      into.set(this.#bytes.subarray(this.#at, this.#at + count));
      this.#at += count;
      return count;
    } finally {
      this.isReading = false;
    }
  }

  close(): void {
    this.isClosed = true;
    this.#abort.abort();
    this.#closing.reject(new PeerError("closed while it was read"));
  }
}

/** What is not as usual about a download. */
export interface DownloadSetting {
  /** What the client asks for, as a `Range` header. */
  readonly range?: string;
  /** Default: the right list. */
  readonly chunks?: Promise<ChunkList | undefined>;
  /** When the list comes, in milliseconds by the clock; at the latest when the download is closed. Default: at once. */
  readonly listMs?: number;
  /** Most buffers of all downloads. */
  readonly buffers?: ChunkBuffers;
  /** Waits for the pace of this node; ends with the download, as the mirror has it. */
  readonly pace?: (bytes: number) => Promise<void> | undefined;
}

/** Peers, and what was done to them. */
export class FakePeers implements DownloadSource {
  readonly clock = new FakeClock();
  readonly buffers: ChunkBuffers;
  /** `<peer> <start>-<end>`, in their order. */
  readonly requests: string[] = [];
  /** `<peer>[ wrong][ progressed]`, in their order. */
  readonly failures: string[] = [];
  readonly responses: FakeResponse[] = [];
  readonly poisonings: VerificationError[] = [];
  /** Most peers that delivered at the same time. */
  mostRunning = 0;
  resumptions = 0;
  lanesAdded = 0;
  closings = 0;
  readonly content: TestContent;
  readonly #scripts: Readonly<Record<string, Script>>;
  readonly #queue: Peer[];
  readonly #lastResorts: Peer[] = [];
  readonly #excluded = new Set<string>();
  readonly #counts = new Map<string, number>();
  readonly #running = new Set<Peer>();
  readonly #pace: DownloadSetting["pace"];
  /** Buffers that were lent to others before. */
  readonly #lentBefore: number;
  readonly #abort = new AbortController();
  /** Ends all waits for a pace. */
  readonly #released = Promise.withResolvers<void>();

  /**
   * @param content What they have.
   * @param scripts What each of them does, in the order in which they are asked.
   * @param setting Memory and pace.
   */
  constructor(
    content: TestContent,
    scripts: Readonly<Record<string, Script>>,
    setting: DownloadSetting = {},
  ) {
    this.content = content;
    this.#scripts = scripts;
    this.#queue = Object.keys(scripts).map((id) => ({ id, addresses: [], registryPort: 1 }));
    this.buffers = setting.buffers ?? new ChunkBuffers();
    this.#lentBefore = this.buffers.lent;
    this.#pace = setting.pace;
  }

  /** Opens a download from the first peer. */
  async open({ range, chunks, listMs = 0 }: DownloadSetting = {}): Promise<BlobDownload> {
    const asked = /^bytes=(\d*)-(\d*)$/.exec(widened(range) ?? "")?.slice(1);
    const size = this.#bytesOf(this.#queue[0]!).length;
    const start = asked?.[0] === ""
      ? Math.max(0, size - Number(asked[1]))
      : Number(asked?.[0] ?? 0);
    const end = asked?.[0] && asked[1] ? Math.min(size - 1, Number(asked[1])) : size - 1;
    const first = await this.ask(this.#queue.shift()!, { start, end });
    return new BlobDownload({
      digest: this.content.digest,
      first,
      range: narrowed(range, first),
      chunks: (listMs === 0 ? Promise.resolve() : this.clock.sleep(listMs, this.#abort.signal))
        .then(() => chunks ?? listOf(this.content)),
      source: this,
      buffers: this.buffers,
      now: this.clock.now,
    });
  }

  async ask(peer: Peer, range: ByteRange, signal?: AbortSignal): Promise<PeerAnswer> {
    const request = this.#counts.get(peer.id) ?? 0;
    this.#counts.set(peer.id, request + 1);
    this.requests.push(`${peer.id} ${range.start}-${range.end}`);
    assert.ok(!this.#excluded.has(peer.id), `${peer.id} was excluded`);
    const script = this.#scripts[peer.id]!;
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    aborted.catch(() => {});
    const unwanted = AbortSignal.any([this.#abort.signal, ...signal === undefined ? [] : [signal]]);
    unwanted.addEventListener("abort", () => reject(new PeerError("not wanted any more")));
    const answerMs = script.answerMs?.(request) ?? 0;
    if (answerMs > 0) await this.clock.sleep(answerMs, unwanted);
    await Promise.race([aborted, script.ask?.(range, request, this)]);
    const bytes = this.#bytesOf(peer);
    const response = new FakeResponse(this, script, range, request);
    this.responses.push(response);
    return {
      peer,
      address: peer.id,
      mediaType: "application/octet-stream",
      digest: this.content.digest,
      size: bytes.length,
      start: range.start,
      end: Math.min(range.end, bytes.length - 1),
      hasChunks: true,
      load: undefined,
      response,
    };
  }

  #bytesOf(peer: Peer): Uint8Array {
    return this.#scripts[peer.id]!.bytes ?? this.content.bytes;
  }

  async another(range: ByteRange): Promise<PeerAnswer> {
    while (true) {
      const peer = this.#queue.shift() ?? this.#lastResorts.shift();
      if (peer === undefined) throw new NotFoundError("no peer goes on");
      try {
        return await this.ask(peer, range);
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
      }
    }
  }

  spare(): Peer | undefined {
    if (this.#queue.length > 0) this.lanesAdded += 1;
    return this.#queue.shift();
  }

  hasSpare(): boolean {
    return this.#queue.length > 0;
  }

  release(peer: Peer): void {
    if (!this.#excluded.has(peer.id)) this.#queue.push(peer);
  }

  pace(bytes: number): Promise<void> | undefined {
    const paced = this.#pace?.(bytes);
    return paced === undefined ? undefined : Promise.race([paced, this.#released.promise]);
  }

  failed(peer: Peer, error: unknown, progressed: boolean): void {
    const isWrong = error instanceof VerificationError;
    this.failures.push(`${peer.id}${isWrong ? " wrong" : ""}${progressed ? " progressed" : ""}`);
    if (isWrong) this.#exclude(peer);
    else if (progressed && !this.#excluded.has(peer.id)) this.#lastResorts.push(peer);
  }

  #exclude(peer: Peer): void {
    this.#excluded.add(peer.id);
    for (const peers of [this.#queue, this.#lastResorts]) {
      const index = peers.findIndex(({ id }) => id === peer.id);
      if (index >= 0) peers.splice(index, 1);
    }
  }

  started(peer: Peer): void {
    assert.ok(!this.#running.has(peer), `${peer.id} delivers already`);
    this.#running.add(peer);
    this.mostRunning = Math.max(this.mostRunning, this.#running.size);
  }

  ended(peer: Peer): void {
    assert.ok(this.#running.delete(peer), `${peer.id} did not deliver`);
  }

  resumed(): void {
    this.resumptions += 1;
  }

  poisoned(error: VerificationError): void {
    this.poisonings.push(error);
  }

  closed(): void {
    this.closings += 1;
    this.#abort.abort();
    this.#released.resolve();
  }

  /** Nothing is left of a download that was closed. */
  async assertNothingLeft(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await settle();
    assert.equal(this.closings, 1);
    assert.ok(this.responses.every(({ isClosed }) => isClosed), "all answers are closed");
    assert.deepEqual([...this.#running], [], "nobody delivers");
    assert.equal(this.buffers.lent, this.#lentBefore, "all buffers are back");
    assert.equal(this.clock.sleepers, 0, "no timer is left");
  }
}

/** How a download went. */
export interface Outcome {
  readonly peers: FakePeers;
  /** What was handed out. */
  readonly bytes: Uint8Array;
  /** What ended it; undefined after a clean end. */
  readonly error: unknown;
}

/**
 * Downloads all that the client asks for, as time passes.
 *
 * @param content The content.
 * @param scripts What the peers do, in the order in which they are asked.
 * @param setting What is not as usual.
 * @param takes Awaited with each piece that is handed out.
 * @returns What became of it; all of it has been closed and is checked to be gone.
 */
export async function download(
  content: TestContent,
  scripts: Readonly<Record<string, Script>>,
  setting: DownloadSetting = {},
  takes: (piece: Uint8Array, peers: FakePeers) => Promise<void> | void = () => {},
): Promise<Outcome> {
  const peers = new FakePeers(content, scripts, setting);
  using _timers = fakeTimers(peers.clock);
  const reader = await finished(peers.clock, peers.open(setting));
  const bytes = new Uint8Array(content.bytes.length);
  let length = 0;
  const reading = (async () => {
    while (true) {
      const piece = await reader.next();
      if (piece === undefined) return;
      bytes.set(piece, length);
      length += piece.length;
      await takes(piece, peers);
    }
  })();
  let error: unknown;
  try {
    await finished(peers.clock, reading);
  } catch (failure) {
    error = failure;
  } finally {
    await reader.close();
  }
  await peers.assertNothingLeft();
  return { peers, bytes: bytes.subarray(0, length), error };
}
