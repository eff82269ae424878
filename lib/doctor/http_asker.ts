/**
 * Asks mirrors small questions over HTTP.
 *
 * @module
 */
import { UnavailableError } from "../errors.ts";

/** Time limit of a question, in milliseconds. */
export const ASK_TIMEOUT_MS = 4000;

/** An answer. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  readonly milliseconds: number;
}

/** What to ask. */
export interface HttpQuestion {
  readonly method?: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/**
 * Asks.
 *
 * @throws {UnavailableError} If there is no answer in time.
 */
export type HttpAsker = (url: string, question?: HttpQuestion) => Promise<HttpAnswer>;

/**
 * Asks over the network.
 *
 * @param url Whom, and for what.
 * @param question How.
 * @returns The answer, read whole.
 * @throws {UnavailableError} If there is no answer in time.
 */
export async function askHttp(url: string, question: HttpQuestion = {}): Promise<HttpAnswer> {
  const { method = "GET", headers = {}, signal } = question;
  const timeout = AbortSignal.timeout(ASK_TIMEOUT_MS);
  const bounded = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  const startedAt = performance.now();
  try {
    const response = await fetch(url, { method, headers, signal: bounded, redirect: "manual" });
    const bytes = await response.bytes();
    const milliseconds = performance.now() - startedAt;
    return { status: response.status, headers: response.headers, bytes, milliseconds };
  } catch (cause) {
    throw new UnavailableError(`${new URL(url).host} ${reasonOf(cause, timeout)}`, { cause });
  }
}

/** The words of the operating system where there are some; those of `fetch` say no more than that it failed. */
function reasonOf(cause: unknown, timeout: AbortSignal): string {
  if (timeout.aborted) return `does not answer within ${ASK_TIMEOUT_MS / 1000} s`;
  let text = String(cause);
  for (let error = cause; error instanceof Error; error = error.cause) text = error.message;
  const osError = /(?:^|: )([^:]*) \(os error \d+\)/.exec(text)?.[1];
  return `does not answer: ${(osError ?? text).toLowerCase()}`;
}
