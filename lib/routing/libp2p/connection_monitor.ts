/**
 * Finds connections to peers that are gone without a word, and closes them.
 *
 * libp2p's own monitor opens a stream for each look at each connection, all at the same time: with fifty nodes started at
 * once on a small machine these alone kept it so busy that answers came too late, so that connections were closed whose
 * peers were well, and nodes lost one another again and again. Here a look is one frame of the multiplexer, connections
 * are looked at one after the other, and time in which this process itself did not get to run does not count.
 *
 * @module
 */
import { TimeoutError } from "@libp2p/interface";
import { type Sleep, sleep } from "../../sleep.ts";

/** Each connection is looked at so often, in milliseconds, unless there are very many. */
export const MONITOR_INTERVAL_MS = 10_000;

/** Shortest time from one look to the next, in milliseconds: a thousand connections take 100 s. */
export const MONITOR_PAUSE_MS = 100;

/** A connection without an answer for so long is closed, in milliseconds. */
export const SILENCE_MS = 3000;

/** In how many turns this time is waited for. */
const SILENCE_TURNS = 10;

/** What is needed of a connection. Its class has more than its published interface says. */
export interface MonitoredConnection {
  readonly status: string;
  /** What carries its streams. */
  readonly muxer?: { ping?(options: { readonly signal: AbortSignal }): Promise<number> };
  abort(error: Error): void;
}

/** Options of {@linkcode monitorConnections}. */
export interface ConnectionMonitorOptions {
  /** The connections as they are now. */
  connections(): readonly MonitoredConnection[];
  /** Waits. Default: by the process's clock. */
  readonly sleep?: Sleep;
}

/**
 * Looks after connections.
 *
 * @param options Connections and clock.
 * @param signal Ends it.
 */
export async function monitorConnections(
  options: ConnectionMonitorOptions,
  signal: AbortSignal,
): Promise<void> {
  const wait = options.sleep ?? sleep;
  while (!signal.aborted) {
    const connections = options.connections();
    const pauseMs = Math.max(MONITOR_PAUSE_MS, MONITOR_INTERVAL_MS / (connections.length + 1));
    await wait(pauseMs, signal);
    for (const connection of connections) {
      if (signal.aborted) return;
      if (connection.status === "open") void look(connection, wait, signal);
      await wait(pauseMs, signal);
    }
  }
}

/** Closes a connection whose peer does not answer. */
async function look(
  connection: MonitoredConnection,
  wait: Sleep,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const ending = AbortSignal.any([signal, over.signal]);
  void silence(wait, ending).then(() => over.abort());
  try {
    await connection.muxer?.ping?.({ signal: ending });
  } catch {
    if (signal.aborted || connection.status !== "open") return;
    connection.abort(new TimeoutError(`no answer within ${SILENCE_MS} ms`));
  } finally {
    over.abort();
  }
}

/** Waits in turns: while this process is held up, each turn is longer, and answers that have come are read in between. */
async function silence(wait: Sleep, signal: AbortSignal): Promise<void> {
  for (let turn = 0; turn < SILENCE_TURNS && !signal.aborted; turn++) {
    await wait(SILENCE_MS / SILENCE_TURNS, signal);
  }
}
