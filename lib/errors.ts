/**
 * The error classes of Kagami, in one place. Every class carries a stable `code` that logs, tests and
 * callers may rely on; messages are for people and may change.
 *
 * @module
 */

/** Base class of all errors that Kagami raises on purpose. */
export class KagamiError extends Error {
  /** Stable, machine-readable code, `ERR_` and upper case. */
  readonly code: string;

  /**
   * @param code Stable code of the error.
   * @param message What went wrong and, where there is one, the remedy.
   * @param options Standard error options, for `cause`.
   */
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }
}

/** The reference, digest or key is not held by the store (or by the peer that was asked). */
export class NotFoundError extends KagamiError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_NOT_FOUND", message, options);
  }
}

/** A part that Kagami depends on (containerd, a registry folder, a peer) does not answer now. */
export class UnavailableError extends KagamiError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_UNAVAILABLE", message, options);
  }
}

/** A digest is not of the form `<algorithm>:<hex>` or names an algorithm that Kagami cannot check. */
export class InvalidDigestError extends KagamiError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_INVALID_DIGEST", message, options);
  }
}

/** An image reference cannot be parsed. */
export class InvalidReferenceError extends KagamiError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_INVALID_REFERENCE", message, options);
  }
}

/** A flag, environment variable or configuration file has a value that is not allowed. */
export class ConfigError extends KagamiError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_CONFIG", message, options);
  }
}

/** The requested byte range lies outside of the content. */
export class RangeNotSatisfiableError extends KagamiError {
  /** Whole length of the content in bytes, for `Content-Range: bytes *\/<size>`. */
  readonly size: number;

  constructor(message: string, size: number, options?: ErrorOptions) {
    super("ERR_RANGE_NOT_SATISFIABLE", message, options);
    this.size = size;
  }
}

/** Bytes do not match the digest or the length they were announced with. */
export class VerificationError extends KagamiError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_VERIFICATION", message, options);
  }
}

/** A peer broke the protocol, closed early or did not answer in time. */
export class PeerError extends KagamiError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_PEER", message, options);
  }
}

/** A peer has too much to do, and says when to come again. */
export class BusyError extends KagamiError {
  /** How long to leave the peer alone, in milliseconds. */
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number, options?: ErrorOptions) {
    super("ERR_BUSY", message, options);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * @param error What was thrown.
 * @returns It as an error.
 */
export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
