/**
 * Proofs of access: whether the upstream registry lets somebody have a repository. What it said is believed for a while.
 *
 * The registry's own answer is the only judge. Nothing of what a client sends is kept: a proof is remembered by a keyed
 * hash, whose key lives as long as the process.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHmac, randomBytes } from "node:crypto";
import { ExpiringSet } from "../expiring_set.ts";
import type { AccessQuestion, UpstreamAnswer } from "./upstream_client.ts";

/** Most proofs that are remembered; the oldest go first. */
export const MAX_PROOFS = 4096;

/** Most questions to upstream registries at the same time; whoever comes beyond it gets nothing from here. */
export const MAX_CHECKS = 64;

/**
 * How long a registry that could not be reached is not asked again, in milliseconds: a pull of many layers is to wait for
 * it once.
 */
export const UNREACHABLE_TTL_MS = 5000;

/** Most registries of which that is remembered. */
export const MAX_UNREACHABLE = 256;

/** What was found out about somebody's access to a repository. */
export type Verdict =
  /** The registry lets them have it. */
  | { readonly result: "granted" }
  /** They sent no credentials, and the registry wants some; the challenge says which. */
  | { readonly result: "challenged"; readonly challenge: string }
  /** The registry does not let them have it. The challenge says why, if the registry did. */
  | { readonly result: "refused"; readonly challenge?: string }
  /** The registry cannot be asked. */
  | { readonly result: "unreachable" }
  /** Too many questions are under way. */
  | { readonly result: "busy" };

/** Options of {@linkcode AccessProofs}. */
export interface AccessProofsOptions {
  /** Asks an upstream registry. Never rejects. */
  readonly ask: (question: AccessQuestion) => Promise<UpstreamAnswer>;
  /** How long a proof holds, in milliseconds. */
  readonly ttlMs: number;
  /** Told of each verdict. */
  readonly onVerdict?: (verdict: Verdict) => void;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** Finds out who may have what. */
export class AccessProofs {
  readonly #options: AccessProofsOptions;
  readonly #key = randomBytes(32);
  readonly #granted: ExpiringSet;
  readonly #unreachable: ExpiringSet;
  /** Questions under way. */
  readonly #checks = new Map<string, Promise<Verdict>>();

  /**
   * @param options Whom to ask, and how long to believe it.
   */
  constructor(options: AccessProofsOptions) {
    const { ttlMs, now } = options;
    const clock = now === undefined ? {} : { now };
    this.#options = options;
    this.#granted = new ExpiringSet({ ttlMs, limit: MAX_PROOFS, ...clock });
    this.#unreachable = new ExpiringSet({
      ttlMs: UNREACHABLE_TTL_MS,
      limit: MAX_UNREACHABLE,
      ...clock,
    });
  }

  /**
   * Finds out whether somebody may have a repository.
   *
   * @param question What they ask for, and with which credentials.
   * @returns The verdict. Never rejects.
   */
  async prove(question: AccessQuestion): Promise<Verdict> {
    const verdict = await this.#verdict(question);
    this.#options.onVerdict?.(verdict);
    return verdict;
  }

  #verdict(question: AccessQuestion): Promise<Verdict> | Verdict {
    const proof = this.#proofOf(question);
    if (this.#granted.has(proof)) return { result: "granted" };
    if (this.#unreachable.has(question.registry)) return { result: "unreachable" };
    const running = this.#checks.get(proof);
    if (running !== undefined) return running;
    if (this.#checks.size >= MAX_CHECKS) return { result: "busy" };
    // Nobody's own request ends it: others may wait for the same answer.
    const check = this.#check(question, proof).finally(() => this.#checks.delete(proof));
    this.#checks.set(proof, check);
    return check;
  }

  async #check(question: AccessQuestion, proof: string): Promise<Verdict> {
    const answer = await this.#options.ask(question);
    switch (answer.result) {
      case "granted":
        this.#granted.add(proof);
        return answer;
      case "unreachable":
        this.#unreachable.add(question.registry);
        return { result: "unreachable" };
      case "refused": {
        const { challenge } = answer;
        if (challenge === undefined) return { result: "refused" };
        const isAnonymous = question.authorization === undefined;
        return { result: isAnonymous ? "challenged" : "refused", challenge };
      }
    }
  }

  #proofOf({ registry, repository, authorization }: AccessQuestion): string {
    const text = JSON.stringify([registry, repository, authorization ?? null]);
    return createHmac("sha256", this.#key).update(Buffer.from(text)).digest("base64");
  }
}
