/**
 * The timers of the runtime, moved by a test.
 *
 * @module
 */
import type { FakeClock } from "./fake_clock.ts";

type Callback = (...args: unknown[]) => void;

/** How long {@linkcode finished} lets the clock run, in milliseconds: far more than any wait that is bounded. */
export const FOREVER_MS = 10 * 60_000;

/** Steps in which {@linkcode finished} moves the clock, in milliseconds. */
const STEP_MS = 10;

/**
 * Makes `setTimeout` and `setInterval` go by a clock that the test moves.
 *
 * @param clock The clock; its `sleepers` are the timers that run.
 * @returns Puts the real ones back when disposed.
 */
export function fakeTimers(clock: FakeClock): Disposable {
  const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
  const running = new Map<number, AbortController>();
  let last = 0;
  function start(isRepeated: boolean, callback: Callback, ms = 0, ...args: unknown[]): number {
    const id = ++last;
    const stop = new AbortController();
    running.set(id, stop);
    void (async () => {
      do {
        await clock.sleep(ms, stop.signal);
        if (stop.signal.aborted) return;
        callback(...args);
      } while (isRepeated && !stop.signal.aborted);
      running.delete(id);
    })();
    return id;
  }
  function clear(id: unknown): void {
    running.get(id as number)?.abort();
    running.delete(id as number);
  }
  Object.assign(globalThis, {
    setTimeout: (...args: [Callback, number?, ...unknown[]]) => start(false, ...args),
    setInterval: (...args: [Callback, number?, ...unknown[]]) => start(true, ...args),
    clearTimeout: clear,
    clearInterval: clear,
  });
  return {
    [Symbol.dispose]() {
      Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval });
    },
  };
}

/**
 * Lets time pass until some work is over.
 *
 * @param clock The clock by which the work waits.
 * @param work The work.
 * @param limitMs After so long by the clock it is taken for one that never ends.
 * @returns What it yields.
 */
export async function finished<T>(
  clock: FakeClock,
  work: Promise<T>,
  limitMs: number = FOREVER_MS,
): Promise<T> {
  const deadline = clock.now() + limitMs;
  let isOver = false;
  const end = () => void (isOver = true);
  work.then(end, end);
  while (!isOver) {
    if (clock.now() >= deadline) throw new Error(`not over after ${limitMs} ms of the clock`);
    await clock.advance(STEP_MS);
  }
  return await work;
}
