/**
 * Structured logs: one JSON object a line on standard error, with the field names of Go's slog, as Spegel
 * writes them, so that the same log pipelines can read both.
 *
 * @module
 */

/** Levels, lowest first. */
export const LOG_LEVELS = ["DEBUG", "INFO", "WARN", "ERROR"] as const;

/** One of {@linkcode LOG_LEVELS}. */
export type LogLevel = typeof LOG_LEVELS[number];

/** Additional fields of a line. Errors are written with message and code, `undefined` is left out. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes log lines. */
export interface Logger {
  /** True if lines of this level are written; lets callers skip costly fields. */
  enabled(level: LogLevel): boolean;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds the fields to every line. */
  with(fields: LogFields): Logger;
}

/** Options of {@linkcode createLogger}. */
export interface LoggerOptions {
  /** Lowest level that is written. Default `INFO`. */
  readonly level?: LogLevel;
  /** Receives each line, with its newline. Default: standard error. */
  readonly write?: (line: string) => void;
  /** Current time. Default: the system's. */
  readonly now?: () => Date;
}

const encoder = new TextEncoder();

/**
 * Writes to standard error, all of it. Never throws: a standard error that is closed or full must not stop the service.
 *
 * @param line What to write.
 */
export function writeToStderr(line: string): void {
  const bytes = encoder.encode(line);
  let written = 0;
  try {
    while (written < bytes.length) written += Deno.stderr.writeSync(bytes.subarray(written));
  } catch {
    // Nowhere left to say it.
  }
}

function plain(value: unknown): unknown {
  if (value instanceof Error) {
    const code = (value as { code?: unknown }).code;
    const cause = value.cause === undefined ? "" : `: ${String(plain(value.cause))}`;
    return (code === undefined ? "" : `${String(code)}: `) + value.message + cause;
  }
  if (typeof value === "bigint") return value.toString();
  return value;
}

/**
 * Creates a logger.
 *
 * @param options Level, sink and clock.
 * @returns The logger.
 *
 * @example
 * ```ts
 * const log = createLogger({ level: "DEBUG" });
 * log.info("running Kagami", { registry: ":5000" });
 * ```
 */
export function createLogger(options: LoggerOptions = {}): Logger {
  const threshold = LOG_LEVELS.indexOf(options.level ?? "INFO");
  const write = options.write ?? writeToStderr;
  const now = options.now ?? (() => new Date());

  function build(bound: LogFields): Logger {
    function line(level: LogLevel, message: string, fields: LogFields | undefined): void {
      if (LOG_LEVELS.indexOf(level) < threshold) return;
      const record = { time: now().toISOString(), level, msg: message, ...bound, ...fields };
      // Errors and large numbers may also stand deeper within a field.
      write(JSON.stringify(record, (_key, value) => plain(value)) + "\n");
    }
    return {
      enabled: (level) => LOG_LEVELS.indexOf(level) >= threshold,
      debug: (message, fields) => line("DEBUG", message, fields),
      info: (message, fields) => line("INFO", message, fields),
      warn: (message, fields) => line("WARN", message, fields),
      error: (message, fields) => line("ERROR", message, fields),
      with: (fields) => build({ ...bound, ...fields }),
    };
  }
  return build({});
}

/** A logger that writes nothing, for tests and tools. */
export const silentLogger: Logger = createLogger({ write: () => {} });
