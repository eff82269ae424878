/**
 * Errors as the distribution specification wants them on the wire; each renders its own response.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
 * @module
 */
import { KagamiError } from "../errors.ts";

/** Error codes of the specification that a pull-only registry can answer, with their HTTP status. */
export const DISTRIBUTION_ERROR_STATUS = {
  BLOB_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
} as const;

/** One of the codes in {@linkcode DISTRIBUTION_ERROR_STATUS}. */
export type DistributionErrorCode = keyof typeof DISTRIBUTION_ERROR_STATUS;

/** An error with a code of the distribution specification. */
export class DistributionError extends KagamiError {
  /** Code on the wire, e.g. `MANIFEST_UNKNOWN`. */
  readonly distributionCode: DistributionErrorCode;
  /** HTTP status of the answer. */
  readonly status: number;
  /** Additional machine-readable data, or undefined. */
  readonly detail: unknown;
  /** Which credentials are wanted, of an `UNAUTHORIZED`: value of `WWW-Authenticate`; undefined for the mirror's own. */
  readonly challenge: string | undefined;

  /**
   * @param code Code of the specification.
   * @param message Text for people.
   * @param options `detail` for the body, `status` where it differs from the usual one, `challenge`, `cause`.
   */
  constructor(
    code: DistributionErrorCode,
    message: string,
    options: ErrorOptions & { detail?: unknown; status?: number; challenge?: string } = {},
  ) {
    super(`ERR_DISTRIBUTION_${code}`, message, options);
    this.distributionCode = code;
    this.status = options.status ?? DISTRIBUTION_ERROR_STATUS[code];
    this.detail = options.detail;
    this.challenge = options.challenge;
  }

  /**
   * @returns The JSON body, `{"errors":[{code, message, detail?}]}`.
   */
  body(): string {
    return JSON.stringify({
      errors: [{ code: this.distributionCode, message: this.message, detail: this.detail }],
    });
  }
}
