/**
 * Remembers warnings and errors, each kind once, with what to do about it.
 *
 * @module
 */
import type { LogFields } from "../observability/logger.ts";
import type { RecentError } from "./node_activity.ts";
import { REMEDIES } from "./remedies.ts";

/** Most errors that are remembered; those that happened last longest ago go first. */
export const MAX_RECENT_ERRORS = 64;

/** How long an error is remembered after it happened last, in milliseconds. */
export const RECENT_ERROR_TTL_MS = 24 * 60 * 60_000;

/** Longest text of an error, in characters. */
export const MAX_ERROR_TEXT = 400;

interface Noted {
  readonly level: RecentError["level"];
  readonly what: string;
  readonly remedy?: string;
  readonly count: number;
  readonly at: number;
}

/** See the module. */
export class RecentErrors {
  readonly #now: () => number;
  /** By what makes them different; those that happened last come last. */
  readonly #noted = new Map<string, Noted>();

  /**
   * @param now Monotonic clock in milliseconds.
   */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Something went wrong.
   *
   * @param level How bad it is, by the log.
   * @param message What happened; always the same text for the same kind of error.
   * @param fields With what. Errors of different peers are different errors.
   */
  note(level: "WARN" | "ERROR", message: string, fields: LogFields): void {
    const { remedy = REMEDIES[message], peer, ...others } = fields;
    const kind = JSON.stringify([message, peer]);
    const count = (this.#noted.get(kind)?.count ?? 0) + 1;
    this.#noted.delete(kind);
    this.#noted.set(kind, {
      level: level === "WARN" ? "warning" : "failure",
      what: textOf(message, { peer, ...others }),
      ...(remedy === undefined ? {} : { remedy: String(remedy) }),
      count,
      at: this.#now(),
    });
    if (this.#noted.size > MAX_RECENT_ERRORS) {
      this.#noted.delete(this.#noted.keys().next().value!);
    }
  }

  /** @returns What is remembered, the latest first. */
  list(): RecentError[] {
    const now = this.#now();
    return [...this.#noted.values()]
      .filter(({ at }) => now - at < RECENT_ERROR_TTL_MS)
      .map(({ at, ...error }) => ({ ...error, lastAgoMs: Math.round(now - at) }))
      .reverse();
  }
}

function textOf(message: string, fields: LogFields): string {
  const details = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value instanceof Error ? reasonOf(value) : String(value)}`);
  const text = details.length === 0 ? message : `${message}: ${details.join(", ")}`;
  return text.length > MAX_ERROR_TEXT ? `${text.slice(0, MAX_ERROR_TEXT - 1)}…` : text;
}

function reasonOf({ message, cause }: Error): string {
  return cause instanceof Error ? `${message}: ${cause.message}` : message;
}
