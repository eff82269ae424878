/**
 * Lets something see the warnings and errors of a log.
 *
 * @module
 */
import type { LogFields, Logger } from "./logger.ts";

/**
 * Called with each warning and error, fields that are bound to the logger included.
 *
 * @param level How bad it is.
 * @param message What happened.
 * @param fields With what.
 */
export type LogObserver = (level: "WARN" | "ERROR", message: string, fields: LogFields) => void;

/**
 * Makes a logger that writes what another one does.
 *
 * @param log The other one.
 * @param observe Told of warnings and errors.
 * @returns The logger.
 */
export function observedLogger(log: Logger, observe: LogObserver): Logger {
  const build = (inner: Logger, bound: LogFields): Logger => ({
    enabled: (level) => inner.enabled(level),
    debug: (message, fields) => inner.debug(message, fields),
    info: (message, fields) => inner.info(message, fields),
    warn(message, fields) {
      inner.warn(message, fields);
      observe("WARN", message, { ...bound, ...fields });
    },
    error(message, fields) {
      inner.error(message, fields);
      observe("ERROR", message, { ...bound, ...fields });
    },
    with: (fields) => build(inner.with(fields), { ...bound, ...fields }),
  });
  return build(log, {});
}
