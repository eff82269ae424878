/**
 * A log that tests can read.
 *
 * @module
 */
import { createLogger, type Logger, type LogLevel } from "../../../lib/observability/logger.ts";

/** A line of the log. */
export type LogLine = Record<string, unknown>;

/** A log that tests can read. */
export interface RecordingLog {
  readonly log: Logger;
  /** All lines so far. */
  readonly lines: readonly LogLine[];
  /** Waits for the next line with this message. */
  next(message: string): Promise<LogLine>;
}

/**
 * @param level Lowest level that is kept.
 * @returns A logger that keeps its lines, and lets a test wait for one.
 */
export function recordingLog(level: LogLevel = "INFO"): RecordingLog {
  const lines: LogLine[] = [];
  const waiting: { message: string; found: (line: LogLine) => void }[] = [];
  const log: Logger = createLogger({
    level,
    write(text) {
      const line = JSON.parse(text);
      lines.push(line);
      for (const { message, found } of waiting) if (line.msg === message) found(line);
    },
  });
  const next = (message: string) => {
    const { promise, resolve } = Promise.withResolvers<LogLine>();
    waiting.push({ message, found: resolve });
    return promise;
  };
  return { log, lines, next };
}
