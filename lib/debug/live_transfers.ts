/**
 * What is on its way through this node now, what was a moment ago, and how much it has been altogether.
 *
 * @module
 */
import type { TransferProgress } from "../net/transfer_progress.ts";
import type { DistributionPath } from "../oci/distribution.ts";
import type { RegistryAnswer } from "../registry/messages.ts";
import type { Peer } from "../routing/router.ts";
import type { Ingest } from "../store/store.ts";
import type { DownloadProgress } from "../transfer/download_progress.ts";
import { placeOf } from "../transfer/place_of.ts";
import type { FinishedTransfer, Totals, TransferDirection, TransferView } from "./node_activity.ts";

/** Most transfers that are listed; further ones are only counted. */
export const MAX_LISTED_TRANSFERS = 256;

/** Transfers that are over and still told of. */
export const MAX_FINISHED_TRANSFERS = 32;

/** Shortest time over which a rate is reckoned, in milliseconds. */
export const RATE_WINDOW_MS = 1000;

/** Which of the totals the bytes of a transfer belong to. */
type Account = keyof Omit<Totals, "upstream"> | undefined;

/** Speed, as seen from one look to the next. */
class Rate {
  #bytes: number;
  #at: number;
  #perSecond = 0;

  constructor(bytes: number, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** @returns Bytes per second since the last look that lies far enough back. */
  of(bytes: number, now: number): number {
    const elapsedMs = now - this.#at;
    if (elapsedMs >= RATE_WINDOW_MS || this.#perSecond === 0) {
      this.#perSecond = elapsedMs <= 0 ? 0 : (bytes - this.#bytes) * 1000 / elapsedMs;
      if (elapsedMs >= RATE_WINDOW_MS) {
        this.#bytes = bytes;
        this.#at = now;
      }
    }
    return Math.max(0, Math.round(this.#perSecond));
  }
}

interface TransferFacts {
  readonly direction: TransferDirection;
  readonly account: Account;
  readonly key: string;
  readonly repository: string;
  readonly size: number;
}

class Transfer implements DownloadProgress {
  bytes = 0;
  readonly id: number;
  readonly facts: TransferFacts;
  readonly since: number;
  readonly parties: string[] = [];
  readonly rate: Rate;
  readonly #onOver: (transfer: Transfer, isComplete: boolean) => void;
  #isOver = false;

  constructor(
    id: number,
    facts: TransferFacts,
    since: number,
    onOver: (transfer: Transfer, isComplete: boolean) => void,
  ) {
    this.id = id;
    this.facts = facts;
    this.since = since;
    this.rate = new Rate(0, since);
    this.#onOver = onOver;
  }

  joined(peer: Peer): void {
    this.parties.push(placeOf(peer));
  }

  /** The last one stays, so that it shows who delivered. */
  left(peer: Peer): void {
    const index = this.parties.indexOf(placeOf(peer));
    if (index >= 0 && this.parties.length > 1) this.parties.splice(index, 1);
  }

  over(isComplete: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onOver(this, isComplete);
  }
}

/** Keeps the list. */
export class LiveTransfers {
  readonly #now: () => number;
  readonly #live = new Set<Transfer>();
  readonly #finished: { readonly at: number; readonly transfer: FinishedTransfer }[] = [];
  /** Downloads of containerd that this process has no part in, by digest. */
  readonly #foreign = new Map<string, { readonly since: number; readonly rate: Rate }>();
  readonly #totals = { peers: 0, local: 0, given: 0 };
  #lastId = 0;

  /**
   * @param now Monotonic clock in milliseconds.
   */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * The registry begins to send content.
   *
   * @param answer What it sends.
   * @param client IP address of whoever gets it.
   * @returns Where to count; undefined if it is no content.
   */
  sending(answer: RegistryAnswer, client: string): TransferProgress | undefined {
    const { body, facts, upload } = answer;
    if (body === undefined || facts.source === undefined || facts.path === undefined) {
      return undefined;
    }
    const isLocal = facts.source === "local";
    const transfer = this.#begin({
      direction: upload === undefined ? "to-client" : "to-peer",
      account: upload !== undefined ? "given" : isLocal ? "local" : "peers",
      ...describe(facts.path),
      size: body instanceof Uint8Array ? body.length : body.end - body.start + 1,
    });
    transfer.parties.push(client);
    return transfer;
  }

  /**
   * The mirror begins to get content from peers.
   *
   * @param path What it gets.
   * @param size Bytes that it is to get.
   * @returns Where to count.
   */
  receiving(path: DistributionPath, size: number): DownloadProgress {
    const facts = { direction: "from-peer", account: undefined, ...describe(path), size } as const;
    return this.#begin(facts);
  }

  /** Bytes so far, those under way included. */
  get totals(): Omit<Totals, "upstream"> {
    const totals = { ...this.#totals };
    for (const { facts, bytes } of this.#live) {
      if (facts.account !== undefined) totals[facts.account] += bytes;
    }
    return totals;
  }

  /**
   * Lists what is under way.
   *
   * @param ingests What is being written into the store. What nobody here sends there comes from upstream.
   * @returns The oldest first; no more than {@linkcode MAX_LISTED_TRANSFERS}.
   */
  list(ingests: readonly Ingest[] = []): { transfers: TransferView[]; more: number } {
    const now = this.#now();
    const own = [...this.#live].map((transfer): TransferView => ({
      ...viewOf(transfer),
      bytesPerSecond: transfer.rate.of(transfer.bytes, now),
      elapsedMs: Math.round(now - transfer.since),
    }));
    const all = [...own, ...this.#fromUpstream(ingests, now)];
    const transfers = all.slice(0, MAX_LISTED_TRANSFERS);
    return { transfers, more: all.length - transfers.length };
  }

  /** @returns What is over, the newest first. */
  finished(): FinishedTransfer[] {
    const now = this.#now();
    return this.#finished
      .map(({ at, transfer }) => ({ ...transfer, endedAgoMs: Math.round(now - at) }))
      .reverse();
  }

  #begin(facts: TransferFacts): Transfer {
    const transfer = new Transfer(++this.#lastId, facts, this.#now(), this.#onOver);
    this.#live.add(transfer);
    return transfer;
  }

  readonly #onOver = (transfer: Transfer, isComplete: boolean): void => {
    const { facts, bytes, since } = transfer;
    this.#live.delete(transfer);
    if (facts.account !== undefined) this.#totals[facts.account] += bytes;
    // A body that the client did not wait for is nothing to tell of.
    if (bytes === 0) return;
    const at = this.#now();
    const elapsedMs = Math.round(at - since);
    const bytesPerSecond = Math.round(bytes * 1000 / Math.max(1, at - since));
    const view = { ...viewOf(transfer), bytesPerSecond, elapsedMs, isComplete, endedAgoMs: 0 };
    this.#finished.push({ at, transfer: view });
    if (this.#finished.length > MAX_FINISHED_TRANSFERS) this.#finished.shift();
  };

  #fromUpstream(ingests: readonly Ingest[], now: number): TransferView[] {
    const sent = new Set<string>();
    for (const { facts } of this.#live) if (facts.direction === "to-client") sent.add(facts.key);
    const foreign = ingests.filter(({ digest }) => !sent.has(digest));
    const known = new Set<string>(foreign.map(({ digest }) => digest));
    for (const digest of this.#foreign.keys()) if (!known.has(digest)) this.#foreign.delete(digest);
    return foreign.map(({ digest, offset, total }, index): TransferView => {
      const seen = this.#foreign.get(digest) ?? { since: now, rate: new Rate(offset, now) };
      this.#foreign.set(digest, seen);
      return {
        id: -1 - index,
        direction: "from-upstream",
        key: digest,
        repository: "",
        parties: [],
        bytes: offset,
        size: total,
        bytesPerSecond: seen.rate.of(offset, now),
        elapsedMs: Math.round(now - seen.since),
      };
    });
  }
}

function describe({ registry, repository, key }: DistributionPath): {
  key: string;
  repository: string;
} {
  return { key, repository: `${registry}/${repository}` };
}

function viewOf(
  { id, facts, parties, bytes }: Transfer,
): Omit<TransferView, "bytesPerSecond" | "elapsedMs"> {
  const { direction, key, repository, size } = facts;
  return { id, direction, key, repository, parties: [...new Set(parties)], bytes, size };
}
