/**
 * Puts together what shares downloads in progress.
 *
 * @module
 */
import { NotFoundError } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import { parseDigest } from "../oci/digest.ts";
import type { Messenger } from "../routing/messenger.ts";
import { Coordinator } from "../share/coordinator.ts";
import { Participant, type ShareEvents } from "../share/participant.ts";
import { sleep } from "../sleep.ts";
import type { Store } from "../store/store.ts";

/**
 * Creates a node's part in sharing.
 *
 * @param store Where containerd's downloads are seen.
 * @param messenger How other nodes are asked.
 * @param log Log.
 * @param events Metrics.
 * @returns The part, neither serving nor reporting yet.
 */
export function createSharing(
  store: Store,
  messenger: Messenger,
  log: Logger,
  events: ShareEvents,
): Participant {
  const now = () => performance.now();
  return new Participant({
    messenger,
    coordinator: new Coordinator({ now, sleep, random: Math.random }),
    progress: async () => {
      const ingests = await store.ingests?.list() ?? [];
      return ingests.map(({ digest, offset, total }) => ({ key: digest, offset, total }));
    },
    has: async (key) => {
      try {
        await store.descriptor(parseDigest(key));
        return true;
      } catch (error) {
        if (error instanceof NotFoundError) return false;
        throw error;
      }
    },
    log,
    events,
    now,
    sleep,
  });
}
