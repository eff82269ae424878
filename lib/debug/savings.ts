/**
 * Bytes over time, for a chart: what came from peers, beside what came from upstream and from the store. In memory only;
 * how it was for longer is what the metrics are for.
 *
 * @module
 */
import type { Sleep } from "../sleep.ts";
import type { SavingsSample, SavingsSeries, Totals } from "./node_activity.ts";

/** Span of a sample of the last hour, in milliseconds. */
export const HOUR_SAMPLE_MS = 10_000;

/** Samples of the last hour. */
export const HOUR_SAMPLES = 360;

/** Samples of the last hour that make one of the last day. */
export const SAMPLES_TOGETHER = 30;

/** Samples of the last day. */
export const DAY_SAMPLES = 288;

const NOTHING: Totals = { peers: 0, local: 0, given: 0, upstream: 0 };

/** Options of {@linkcode Savings}. */
export interface SavingsOptions {
  /** Bytes so far. */
  readonly totals: () => Totals;
  /** Called before each sample. */
  readonly look?: () => Promise<void>;
  /** Clock of the day, in milliseconds since 1970. */
  readonly now: () => number;
  readonly sleep: Sleep;
}

/** Keeps the samples. */
export class Savings {
  readonly #options: SavingsOptions;
  readonly #hour: SavingsSample[] = [];
  readonly #day: SavingsSample[] = [];
  /** Totals at the last sample of the hour, and of the day. */
  #hourTotals = NOTHING;
  #dayTotals = NOTHING;
  #together = 0;

  /**
   * @param options What to sample, and the clock.
   */
  constructor(options: SavingsOptions) {
    this.#options = options;
  }

  /** @returns All samples, the span that is not over yet included. */
  series(): SavingsSeries {
    const totals = this.#options.totals();
    return {
      hour: [...this.#hour, this.#since(this.#hourTotals, totals)],
      day: [...this.#day, this.#since(this.#dayTotals, totals)],
    };
  }

  /**
   * Takes samples.
   *
   * @param signal Ends it.
   */
  async run(signal: AbortSignal): Promise<void> {
    while (true) {
      await this.#options.sleep(HOUR_SAMPLE_MS, signal);
      if (signal.aborted) return;
      await this.#options.look?.();
      this.#sample();
    }
  }

  #sample(): void {
    const totals = this.#options.totals();
    keep(this.#hour, this.#since(this.#hourTotals, totals), HOUR_SAMPLES);
    this.#hourTotals = totals;
    this.#together += 1;
    if (this.#together < SAMPLES_TOGETHER) return;
    this.#together = 0;
    keep(this.#day, this.#since(this.#dayTotals, totals), DAY_SAMPLES);
    this.#dayTotals = totals;
  }

  #since(before: Totals, totals: Totals): SavingsSample {
    return {
      at: this.#options.now(),
      peers: totals.peers - before.peers,
      local: totals.local - before.local,
      given: totals.given - before.given,
      upstream: totals.upstream - before.upstream,
    };
  }
}

function keep(samples: SavingsSample[], sample: SavingsSample, most: number): void {
  samples.push(sample);
  if (samples.length > most) samples.shift();
}
