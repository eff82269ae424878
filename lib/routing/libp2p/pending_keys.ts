/**
 * What a peer is still to be told.
 *
 * @module
 */
import type { ProviderKey } from "./provider_key.ts";

/**
 * Keys in the order they are told: the ones added last first, for somebody may be about to look for them. A key is told
 * once, however often it was added before its turn.
 */
export class PendingKeys {
  readonly #keys = new Map<string, ProviderKey>();
  /** Next one last. Holds keys that were taken out or replaced since. */
  readonly #order: ProviderKey[] = [];
  /** How far the peer has been told all that there is, if that is what this is about. */
  round: "due" | "begun" | undefined;

  /**
   * @param isComplete Whether these are to be all keys that there are.
   */
  constructor(isComplete = false) {
    this.round = isComplete ? "due" : undefined;
  }

  /** Number of keys, those that are being told included. */
  get size(): number {
    return this.#keys.size;
  }

  /**
   * Adds a key.
   *
   * @param key The key; the same object again changes nothing.
   */
  add(key: ProviderKey): void {
    if (this.#keys.get(key.text) === key) return;
    this.#keys.set(key.text, key);
    this.#order.push(key);
  }

  /**
   * Takes a key out.
   *
   * @param text Its text.
   */
  delete(text: string): void {
    this.#keys.delete(text);
  }

  /**
   * The keys to tell next. They stay until {@linkcode done}.
   *
   * @param count Most keys.
   * @returns The keys.
   */
  take(count: number): ProviderKey[] {
    const taken: ProviderKey[] = [];
    while (taken.length < count) {
      const key = this.#order.pop();
      if (key === undefined) break;
      if (this.#keys.get(key.text) === key) taken.push(key);
    }
    return taken;
  }

  /**
   * Takes out keys that were told, but not those that were added anew meanwhile.
   *
   * @param taken What {@linkcode take} yielded.
   */
  done(taken: readonly ProviderKey[]): void {
    for (const key of taken) {
      if (this.#keys.get(key.text) === key) this.#keys.delete(key.text);
    }
  }

  /**
   * Puts back keys that could not be told.
   *
   * @param taken What {@linkcode take} yielded.
   */
  putBack(taken: readonly ProviderKey[]): void {
    this.#order.push(...taken.toReversed());
  }
}
