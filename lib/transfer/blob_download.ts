/**
 * Brings a blob, or a part of one, from peers: chunk by chunk, checked before it is passed on, from one peer or from
 * several at the same time, and on from the next byte when one fails.
 *
 * The chunks of the content are handed out in order. A *lane* is a peer that delivers: it is given a run of chunks, asks
 * for their range, and fills one chunk after the other. At first one lane has all of the content in one answer. If more
 * peers make it faster ({@linkcode LaneScaling}), the content is divided into short runs, which lanes take in turn;
 * they may be ahead of the reader by a window only, so that memory is bounded. What a lane that fails has not delivered
 * goes to the next one.
 *
 * @module
 */
import { KagamiError, PeerError, VerificationError } from "../errors.ts";
import { CHUNK_SIZE, type ChunkList } from "../oci/chunk_list.ts";
import { type Digest, splitDigest } from "../oci/digest.ts";
import type { Peer } from "../routing/router.ts";
import type { ByteRange, ContentReader } from "../store/store.ts";
import type { ChunkBuffers } from "./chunk_buffers.ts";
import { bytesOf, type Chunk, ChunkWindow, indexOf } from "./chunk_window.ts";
import { DigestSoFar } from "./digest_so_far.ts";
import type { DownloadSource } from "./download_source.ts";
import { createLane, type Lane } from "./lane.ts";
import { LaneScaling } from "./lane_scaling.ts";
import type { PeerAnswer } from "./peer_client.ts";
import { MAX_CHUNK_WAIT_MS, MAX_SILENCE_MS, ReaderWait } from "./reader_wait.ts";
import { type Run, RUN_LENGTH, runLength, Runs } from "./runs.ts";

/** Chunks that a single peer may be ahead of the reader. */
export const SINGLE_WINDOW = 4;

/** Chunks that several peers together may be ahead of the reader. */
export const SWARM_WINDOW = 16;

/** How often a download is looked after, in milliseconds. */
export const TICK_MS = 50;

/** Wrong chunks after which a download is given up. */
export const MAX_WRONG_CHUNKS = 3;

/** Options of {@linkcode BlobDownload}. */
export interface BlobDownloadOptions {
  readonly digest: Digest;
  /** The answer to start with. Its range is the one that is fetched. */
  readonly first: PeerAnswer;
  /** Part of it that is wanted. */
  readonly range: ByteRange;
  /** Tells right chunks from wrong ones; undefined if nobody has a list. Never rejects. */
  readonly chunks: Promise<ChunkList | undefined>;
  readonly source: DownloadSource;
  readonly buffers: ChunkBuffers;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
}

/** Reader of a blob that comes from peers. */
export class BlobDownload implements ContentReader {
  readonly size: number;
  readonly start: number;
  readonly end: number;
  readonly #options: BlobDownloadOptions;
  readonly #fetched: ByteRange;
  readonly #lanes = new Set<Lane>();
  /** What no lane is to fill at the moment, in order. */
  readonly #gaps = new Runs();
  readonly #chunks: ChunkWindow;
  /** Digest of all that was confirmed; undefined for a part of a content. */
  readonly #digest: DigestSoFar | undefined;
  /** Next byte to hand out. */
  #position: number;
  #change = Promise.withResolvers<void>();
  #failure: unknown;
  #isReplacing = false;
  #isClosed = false;
  #wrongChunks = 0;
  /** The end did not match the digest, so that what has left is in doubt until another end does. */
  #doubt: VerificationError | undefined;
  readonly #scaling: LaneScaling;
  readonly #timer: ReturnType<typeof setInterval>;
  #bytes = 0;
  readonly #wait: ReaderWait;

  /**
   * @param options The first answer, and where to get more.
   */
  constructor(options: BlobDownloadOptions) {
    const { first, range, digest, buffers, now } = options;
    this.#options = options;
    this.size = first.size;
    this.start = range.start;
    this.end = range.end;
    this.#fetched = { start: first.start, end: first.end };
    this.#position = range.start;
    this.#chunks = new ChunkWindow(buffers, this.#fetched);
    this.#wait = new ReaderWait(now);
    this.#scaling = new LaneScaling(now());
    const isWhole = first.start === 0 && range.end === first.size - 1;
    this.#digest = isWhole ? new DigestSoFar(digest) : undefined;
    const run = { from: indexOf(first.start), to: indexOf(first.end) + 1 };
    if (first.size > 0) this.#begin(first.peer, run, first);
    else first.response.close();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Number of peers that deliver now. */
  get lanes(): number {
    return this.#lanes.size;
  }

  /**
   * Hands out the next bytes without copying them.
   *
   * @returns The bytes, to be left alone after the next call; undefined at the end.
   * @throws {VerificationError} If the content is wrong. Its end has not been handed out.
   * @throws {PeerError} If no peer goes on.
   */
  async next(): Promise<Uint8Array | undefined> {
    this.#takeBack();
    while (true) {
      if (this.#isClosed) throw new PeerError("reader was closed");
      if (this.#failure instanceof VerificationError) throw this.#failure;
      if (this.#position > this.end) {
        this.#confirmEmpty();
        return undefined;
      }
      const chunk = this.#chunks.get(indexOf(this.#position));
      if (chunk?.isReady && this.#confirm(chunk)) return this.#lend(chunk);
      if (this.#failure !== undefined) throw this.#failure;
      if (chunk?.isReady) continue;
      await this.#wait.during(
        this.#change.promise,
        () => this.#chunks.get(indexOf(this.#position))?.isReady === true,
      );
    }
  }

  async read(into: Uint8Array): Promise<number> {
    if (this.#rest.length === 0) {
      const bytes = await this.next();
      if (bytes === undefined) return 0;
      this.#rest = bytes;
    }
    const part = this.#rest.subarray(0, into.length);
    into.set(part);
    this.#rest = this.#rest.subarray(part.length);
    return part.length;
  }

  /** What {@linkcode read} has not copied yet of the bytes handed out last. */
  #rest: Uint8Array = new Uint8Array();

  /**
   * Ends the download with an error: nothing of it can be trusted.
   *
   * @param error What the reader is told.
   */
  fail(error: VerificationError): void {
    if (this.#isClosed || this.#failure instanceof VerificationError) return;
    this.#options.source.poisoned(error);
    this.#failure = error;
    this.#wake();
  }

  close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      clearInterval(this.#timer);
      this.#options.source.closed(this.#position > this.end);
      for (const lane of this.#lanes) lane.answer?.response.close();
      this.#rest = new Uint8Array();
      this.#chunks.close();
      this.#wake();
    }
    return Promise.resolve();
  }

  // Handing out

  #lend(chunk: Chunk): Uint8Array {
    const from = this.#position - chunk.start;
    const to = Math.min(chunk.length, this.end + 1 - chunk.start);
    this.#position = chunk.start + to;
    this.#chunks.lend(chunk);
    this.#wake();
    return chunk.buffer.subarray(from, to);
  }

  #takeBack(): void {
    if (!this.#chunks.takeBack()) return;
    this.#rest = new Uint8Array();
    this.#wake();
  }

  // Checking

  /** Checks the digest up to the end of a chunk, before a byte of it is handed out. */
  #confirm(chunk: Chunk): boolean {
    if (this.#digest === undefined || chunk.isConfirmed) return true;
    const isLast = chunk.start + chunk.length === this.size;
    const expected = isLast
      ? splitDigest(this.#options.digest).hex
      : this.#list?.prefixOf(chunk.index);
    chunk.isConfirmed = this.#digest.accept(bytesOf(chunk), expected);
    if (!chunk.isConfirmed) this.#refuse(chunk, isLast);
    return chunk.isConfirmed;
  }

  /** The chunk that does not fit comes once more, from another peer, unless the fault may lie in what has left. */
  #refuse(chunk: Chunk, isLast: boolean): void {
    const error = new VerificationError(`bytes for ${this.#options.digest} do not match it`);
    this.#chunks.discard(chunk);
    if (!chunk.isMixed) this.#distrust(chunk.peer, error);
    this.#wrongChunks += 1;
    const hasLeft = chunk.start > this.start;
    // A list is only as true as its peer: a liar's own one fits its lies up to here.
    if (isLast && hasLeft) this.#doubt = error;
    if ((hasLeft && this.#list === undefined) || this.#wrongChunks >= MAX_WRONG_CHUNKS) {
      return this.fail(error);
    }
    this.#gaps.give({ from: chunk.index, to: chunk.index + 1 });
    this.#wake();
  }

  /** Takes nothing more from a peer, and drops what it has brought ahead. */
  #distrust(peer: Peer, error: VerificationError): void {
    this.#options.source.failed(peer, error, false);
    for (const lane of this.#lanes) {
      if (lane.peer.id !== peer.id) continue;
      lane.isReported = true;
      this.#cutOff(lane, error);
    }
    for (const chunk of this.#chunks.readyFrom(peer.id)) {
      this.#chunks.discard(chunk);
      this.#gaps.give({ from: chunk.index, to: chunk.index + 1 });
    }
  }

  #confirmEmpty(): void {
    if (this.size > 0 || this.#digest === undefined || this.#digest.isComplete) return;
    throw new VerificationError(`empty content does not match ${this.#options.digest}`);
  }

  #list: ChunkList | undefined;

  /**
   * Checks a chunk as it comes; out of order only its CRC can tell.
   *
   * @returns False if it is wrong and two peers brought it; it is empty then.
   * @throws {VerificationError} If the lane's peer brought a wrong chunk.
   */
  async #check(chunk: Chunk, lane: Lane): Promise<boolean> {
    this.#list = await this.#options.chunks;
    const isWhole = chunk.length === Math.min(CHUNK_SIZE, this.size - chunk.index * CHUNK_SIZE);
    if (this.#list === undefined || !isWhole || this.#list.matches(chunk.index, bytesOf(chunk))) {
      return true;
    }
    chunk.filled = 0;
    if (chunk.isMixed) return false;
    this.#wrongChunks += 1;
    throw new VerificationError(
      `peer ${lane.answer?.address} delivered a wrong chunk of ${this.#options.digest}`,
    );
  }

  // Lanes

  #begin(peer: Peer, run: Run, answer?: PeerAnswer): void {
    const lane = createLane(peer, run, answer);
    this.#lanes.add(lane);
    void this.#drive(lane);
  }

  /** Runs a lane until there is nothing left for it, or it fails. */
  async #drive(lane: Lane): Promise<void> {
    const { source } = this.#options;
    source.started(lane.peer);
    try {
      while (!this.#isClosed) {
        if (lane.cutOff !== undefined) throw lane.cutOff;
        if (lane.run.from >= lane.run.to && !await this.#nextRun(lane)) break;
        const chunk = await this.#reserve(lane);
        if (chunk === undefined) continue;
        if (await this.#fill(lane, chunk)) lane.run.from += 1;
        else this.#leaveRun(lane); // Asked for anew, from the beginning of the chunk.
        this.#wake();
      }
      lane.answer?.response.close();
      this.#lanes.delete(lane);
      if (!this.#isClosed) source.release(lane.peer);
    } catch (error) {
      lane.answer?.response.close();
      this.#lanes.delete(lane);
      if (!this.#isClosed) this.#onFailed(lane, lane.cutOff ?? error);
    } finally {
      source.ended(lane.peer);
      this.#wake();
    }
  }

  /** Gives a lane its next run, and asks its peer for it. False if there is nothing left to do. */
  async #nextRun(lane: Lane): Promise<boolean> {
    lane.answer?.response.close();
    lane.answer = undefined;
    while (!this.#isEnding(lane) && !lane.isRetired && this.#gaps.first !== undefined) {
      const run = this.#takeRun(lane);
      if (run === undefined) {
        await this.#change.promise;
        continue;
      }
      Object.assign(lane.run, run);
      lane.waitingSince = this.#options.now();
      const { signal } = lane.abort;
      const answer = await this.#options.source.ask(lane.peer, this.#rangeOf(run), signal);
      lane.waitingSince = undefined;
      lane.answer = answer;
      if (this.#isEnding(lane)) answer.response.close();
      this.#checkSize(answer);
      return true;
    }
    return lane.cutOff !== undefined;
  }

  /** Who has content of another size has other content, whatever digest it names. */
  #checkSize({ address, size }: PeerAnswer): void {
    if (size === this.size) return;
    throw new PeerError(`peer ${address} has ${size} bytes instead of ${this.size}`);
  }

  #isEnding(lane: Lane): boolean {
    return this.#isClosed || lane.cutOff !== undefined;
  }

  #takeRun({ chunkMs }: Lane): Run | undefined {
    const { size } = this.#lanes;
    if (size <= 1) return this.#gaps.take(({ to }) => to);
    // Several must not be too far ahead of the reader.
    const limit = indexOf(this.#position) + SWARM_WINDOW;
    const length = runLength(this.#gaps.length, size, chunkMs);
    return this.#gaps.take(({ from }) => Math.min(from + length, limit));
  }

  /**
   * The chunk that a lane is to fill next; waits until there is memory for it. None if something that comes earlier is
   * missing: the memory may be waiting for that.
   */
  async #reserve(lane: Lane): Promise<Chunk | undefined> {
    while (!this.#isEnding(lane) && lane.run.from < lane.run.to) {
      const index = lane.run.from;
      const begun = this.#chunks.get(index);
      if (begun !== undefined) return begun;
      const head = indexOf(this.#position);
      const window = this.#lanes.size > 1 ? SWARM_WINDOW : SINGLE_WINDOW;
      const chunk = index < head + window ? this.#chunks.add(index, head, lane.peer) : undefined;
      if (chunk !== undefined) return chunk;
      const gap = this.#gaps.first;
      if (gap === undefined || gap.from > index) await this.#change.promise;
      else this.#leaveRun(lane);
    }
    return undefined;
  }

  /** Leaves the rest of its run to whoever is free first, most likely the lane itself. */
  #leaveRun({ run }: Lane): void {
    this.#gaps.give(run);
    run.from = run.to;
  }

  /** Fills a chunk; false if it has to come once more. */
  async #fill(lane: Lane, chunk: Chunk): Promise<boolean> {
    const startedAt = this.#options.now();
    const missing = chunk.length - chunk.filled;
    chunk.isMixed = chunk.filled > 0 && (chunk.isMixed || chunk.peer.id !== lane.peer.id);
    chunk.peer = lane.peer;
    lane.waitingSince = startedAt;
    while (chunk.filled < chunk.length) {
      const free = chunk.buffer.subarray(chunk.filled, chunk.length);
      const count = await lane.answer!.response.read(free);
      if (count === 0) throw new PeerError("body ended early");
      if (this.#isClosed) return false;
      chunk.filled += count;
      this.#bytes += count;
      lane.progressedAt = this.#options.now();
    }
    lane.waitingSince = undefined;
    const tookMs = this.#options.now() - startedAt;
    if (!await this.#check(chunk, lane)) return false;
    await this.#options.source.pace(chunk.length);
    chunk.isReady = true;
    if (missing === chunk.length) lane.chunkMs = tookMs;
    this.#wait.learn(tookMs, missing);
    return true;
  }

  #onFailed(lane: Lane, error: unknown): void {
    const { source, digest } = this.#options;
    const { run } = lane;
    const begun = run.from < run.to ? this.#chunks.get(run.from) : undefined;
    // What a liar has begun is begun anew.
    if (error instanceof VerificationError && begun !== undefined) begun.filled = 0;
    this.#gaps.give(run);
    if (!lane.isReported) source.failed(lane.peer, error, this.#isWorthwhile(lane));
    if (!(error instanceof KagamiError)) this.#failure ??= error;
    if (this.#wrongChunks >= MAX_WRONG_CHUNKS) {
      this.fail(new VerificationError(`peers deliver wrong bytes for ${digest}`));
    }
  }

  /** Whether the peer of a lane that failed may be tried again. */
  #isWorthwhile({ progressedAt, waitingSince, isHopeless, cutOff }: Lane): boolean {
    if (progressedAt === undefined || isHopeless) return false;
    // As long as nobody reads from it, it cannot bring anything.
    const silentSince = Math.max(progressedAt, waitingSince ?? Infinity);
    const isSilent = cutOff === undefined && this.#options.now() - silentSince >= MAX_SILENCE_MS;
    return !isSilent && this.#wait.forMs(0) < MAX_CHUNK_WAIT_MS;
  }

  /** Bytes of a run that are still missing: a chunk that was begun goes on where it ended. */
  #rangeOf(run: Run): ByteRange {
    const begun = this.#chunks.get(run.from);
    const start = begun === undefined
      ? Math.max(this.#fetched.start, run.from * CHUNK_SIZE)
      : begun.start + begun.filled;
    return { start, end: Math.min(this.#fetched.end, run.to * CHUNK_SIZE - 1) };
  }

  // Looking after it

  #wake(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers();
    resolve();
    const isStuck = this.#lanes.size === 0 && this.#gaps.first !== undefined;
    if (isStuck && this.#failure === undefined && !this.#isClosed && !this.#isReplacing) {
      void this.#replace();
    }
  }

  /** Finds a peer that goes on when none is left. */
  async #replace(): Promise<void> {
    const { source } = this.#options;
    this.#isReplacing = true;
    const gap = this.#gaps.take(({ to }) => to)!;
    const range = this.#rangeOf(gap);
    try {
      const answer = await source.another(range);
      if (this.#isClosed) return answer.response.close();
      try {
        this.#checkSize(answer);
      } catch (error) {
        answer.response.close();
        this.#gaps.give(gap);
        return source.failed(answer.peer, error, false);
      }
      source.resumed();
      this.#begin(answer.peer, gap, answer);
    } catch (error) {
      if (this.#doubt === undefined) this.#failure = error;
      else this.fail(this.#doubt);
    } finally {
      this.#isReplacing = false;
      this.#wake();
    }
  }

  #tick(): void {
    this.#cutOffSlowLane();
    const advice = this.#scaling.advise({
      now: this.#options.now(),
      bytes: this.#bytes,
      left: this.#fetched.end + 1 - this.#position,
      waitedMs: this.#wait.totalMs,
      lanes: this.#lanes.size,
      isStarting: this.#lanes.values().some(({ progressedAt }) => progressedAt === undefined),
      hasSpare: this.#options.source.hasSpare() && !this.#isReplacing && this.#hasMore(),
    });
    if (advice === "add") this.#addLane();
    // The one that was added last.
    if (advice === "drop") [...this.#lanes].at(-1)!.isRetired = true;
    // Memory may have become free elsewhere.
    this.#wake();
  }

  /** Whether there is something for a further lane. */
  #hasMore(): boolean {
    return this.#gaps.first !== undefined ||
      this.#lanes.values().some(({ run }) => run.to - run.from > RUN_LENGTH);
  }

  #addLane(): void {
    const peer = this.#options.source.spare();
    if (peer === undefined) return;
    for (const { run } of this.#lanes) {
      const to = run.from + RUN_LENGTH;
      if (run.to <= to) continue;
      this.#gaps.give({ from: to, to: run.to });
      run.to = to;
    }
    this.#begin(peer, { from: 0, to: 0 });
  }

  /** Ends the lane that the reader waits for, if its peer lets both of them wait for too long. */
  #cutOffSlowLane(): void {
    // The one with the next chunk; if nobody has it, whoever is closest will take it after what it does now.
    const busy = [...this.#lanes].filter(({ run }) => run.from < run.to);
    const [lane] = busy.sort((a, b) => a.run.from - b.run.from);
    if (lane?.waitingSince === undefined || lane.cutOff !== undefined) return;
    const waitedMs = this.#wait.forMs(lane.waitingSince);
    if (waitedMs < this.#wait.patienceMs(this.#isLast)) return;
    const who = lane.answer?.address ?? lane.peer.id;
    const message = `peer ${who} brought no chunk within ${Math.round(waitedMs)} ms`;
    lane.isHopeless = this.#isLast;
    this.#cutOff(lane, new PeerError(message));
  }

  /** Whether no other peer could take over. */
  get #isLast(): boolean {
    return this.#lanes.size <= 1 && !this.#options.source.hasSpare();
  }

  /** Ends a lane, whatever it is doing. */
  #cutOff(lane: Lane, error: KagamiError): void {
    lane.cutOff ??= error;
    lane.answer?.response.close();
    lane.abort.abort();
    this.#wake();
  }
}
