/**
 * Tokens by which this node knows the peers again that it gave one to: a peer's ID, the time, and an HMAC over both. Nothing
 * is kept of them, and the key lives no longer than the process.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** Length of a period in milliseconds. A token is good for the rest of the one it was given in, and the next one. */
export const TOKEN_PERIOD_MS = 3_600_000;

/** Options of {@linkcode TransferTokens}. */
export interface TransferTokensOptions {
  /** Monotonic clock in milliseconds: setting the wall clock ends no token, and prolongs none. */
  readonly now: () => number;
  /** Default: a random one. */
  readonly key?: Uint8Array;
}

/** Issues and checks. */
export class TransferTokens {
  readonly #now: () => number;
  readonly #key: Uint8Array;

  /**
   * @param options Clock and key.
   */
  constructor({ now, key = randomBytes(32) }: TransferTokensOptions) {
    this.#now = now;
    this.#key = key;
  }

  /**
   * @param peer Text of a peer's ID.
   * @returns A token for the peer.
   */
  issue(peer: string): string {
    const period = String(this.#period());
    return `${peer}.${period}.${this.#mac(peer, period)}`;
  }

  /**
   * @param token What a client sent.
   * @returns Text of the ID of the peer that it was given to; undefined if it is none of this node's, or too old.
   */
  peerOf(token: string | undefined): string | undefined {
    const match = /^([A-Za-z0-9]{1,128})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43}=)$/.exec(token ?? "");
    const [, peer, period, mac] = match ?? [];
    if (peer === undefined || period === undefined || mac === undefined) return undefined;
    const age = this.#period() - Number(period);
    // As texts: several of them stand for the same bytes.
    const expected = Buffer.from(this.#mac(peer, period));
    if (!timingSafeEqual(Buffer.from(mac), expected)) return undefined;
    return age === 0 || age === 1 ? peer : undefined;
  }

  #period(): number {
    return Math.floor(this.#now() / TOKEN_PERIOD_MS);
  }

  #mac(peer: string, period: string): string {
    const mac = createHmac("sha256", this.#key).update(`${peer}.${period}`).digest();
    return new Uint8Array(mac).toBase64({ alphabet: "base64url" });
  }
}
