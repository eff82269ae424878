/**
 * Ties the service to its web page.
 *
 * @module
 */
import { type DebugParts, debugRoutes } from "../debug/debug_routes.ts";
import { Images } from "../debug/images.ts";
import { LiveTransfers } from "../debug/live_transfers.ts";
import { Measurer } from "../debug/measure.ts";
import { PeerProbes } from "../debug/peer_probes.ts";
import { RecentErrors } from "../debug/recent_errors.ts";
import { Savings } from "../debug/savings.ts";
import { UpstreamBytes } from "../debug/upstream_bytes.ts";
import { webRoutes } from "../debug/web_routes.ts";
import { askHttp } from "../doctor/http_asker.ts";
import { problemsOf } from "../doctor/problems.ts";
import { VerificationError } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import type { Routes } from "../observability/metrics_server.ts";
import { observedLogger } from "../observability/observed_logger.ts";
import type { ReferenceFilter } from "../oci/filter.ts";
import { NODE_PLATFORM } from "../oci/platform.ts";
import type { ExchangeObserver } from "../registry/registry_server.ts";
import { sleep } from "../sleep.ts";
import type { MirrorEvents } from "../transfer/mirror_events.ts";
import type { Mirror } from "../transfer/mirror.ts";
import { placeOf } from "../transfer/place_of.ts";

/** Told by the mirror's events as well, with more. */
const TOLD_BY_EVENTS = "peer failed in the middle of a content";

/** What the page shows, beside the state of the node. */
export class Debugging {
  readonly #now = () => performance.now();
  readonly #errors = new RecentErrors(this.#now);
  readonly #transfers = new LiveTransfers(this.#now);
  #upstream: UpstreamBytes | undefined;
  #savings: Savings | undefined;

  /**
   * @param log A log.
   * @returns The same one, whose warnings and errors the page shows.
   */
  observed(log: Logger): Logger {
    return observedLogger(log, (level, message, fields) => {
      if (message !== TOLD_BY_EVENTS) this.#errors.note(level, message, fields);
    });
  }

  /**
   * @param next An observer.
   * @returns One that tells it everything, and the page what it shows.
   */
  observer(next: ExchangeObserver): ExchangeObserver {
    return {
      started: (handler) => next.started(handler),
      ended: (handler) => next.ended(handler),
      sending: (answer, client) => this.#transfers.sending(answer, client),
      finished: (exchange) => {
        this.#upstream?.finished(exchange);
        next.finished(exchange);
      },
    };
  }

  /**
   * @param next Listeners.
   * @returns Ones that tell them everything, and the page what it shows.
   */
  mirrorEvents(next: MirrorEvents): MirrorEvents {
    return {
      ...next,
      receiving: (path, size) => this.#transfers.receiving(path, size),
      peerFailed: (peer, error) => {
        const isWrong = error instanceof VerificationError;
        const message = isWrong ? "peer delivered wrong bytes" : "peer failed to deliver";
        this.#errors.note(isWrong ? "ERROR" : "WARN", message, { peer: placeOf(peer), error });
        next.peerFailed?.(peer, error);
      },
    };
  }

  /**
   * Makes the paths of the page.
   *
   * @param parts The running service.
   * @param options `mirror` gets content from peers, for measurements; `signal` ends what goes on in the background.
   * @returns What answers, by path.
   */
  routes(
    parts: DebugParts,
    { mirror, filter, signal }: {
      readonly mirror: Mirror;
      readonly filter: ReferenceFilter;
      readonly signal: AbortSignal;
    },
  ): Routes {
    const { store, router, now } = parts;
    const upstream = new UpstreamBytes(store, now);
    const totals = () => ({ ...this.#transfers.totals, upstream: upstream.total });
    const look = () => upstream.look();
    const savings = new Savings({ totals, look, now: () => Date.now(), sleep });
    this.#upstream = upstream;
    this.#savings = savings;
    const web = webRoutes({
      ...parts,
      transfers: this.#transfers,
      totals,
      savings,
      errors: this.#errors,
      probes: new PeerProbes((url) => askHttp(url), now),
      images: new Images(parts, filter, signal),
      measurer: new Measurer({ mirror, router, filter, platform: NODE_PLATFORM, now }),
      problems: problemsOf,
    });
    return { ...debugRoutes(parts), ...web };
  }

  /**
   * Samples what the chart shows.
   *
   * @param signal Ends it.
   */
  async run(signal: AbortSignal): Promise<void> {
    await this.#savings?.run(signal);
  }
}
