/**
 * Puts together what shares downloads in progress.
 *
 * @module
 */
import { PrivateRegistries } from "../access/private_registries.ts";
import { describeTag } from "../access/tag_client.ts";
import { UpstreamClient } from "../access/upstream_client.ts";
import { UpstreamSettings } from "../access/upstream_settings.ts";
import type { TagResolutionConfig } from "../config/config.ts";
import type { PrivateRegistry } from "../config/value_parsers.ts";
import { NotFoundError } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import { parseDigest } from "../oci/digest.ts";
import type { ReferenceFilter } from "../oci/filter.ts";
import type { Messenger } from "../routing/messenger.ts";
import { Coordinator } from "../share/coordinator.ts";
import { Participant, type ShareEvents } from "../share/participant.ts";
import { TagDesk, type TagEvents } from "../share/tag_desk.ts";
import { sleep } from "../sleep.ts";
import type { Store } from "../store/store.ts";

/** What sharing needs besides the store and the network. */
export interface SharingParts {
  /** Metrics. */
  readonly shareEvents: ShareEvents;
  /** Asks upstream about tags; left out where tags are not shared. */
  readonly tags?: TagDesk;
}

/**
 * Creates a node's part in sharing.
 *
 * @param store Where containerd's downloads are seen.
 * @param messenger How other nodes are asked.
 * @param log Log.
 * @param parts What else it needs.
 * @returns The part, neither serving nor reporting yet.
 */
export function createSharing(
  store: Store,
  messenger: Messenger,
  log: Logger,
  { shareEvents: events, tags }: SharingParts,
): Participant {
  const now = () => performance.now();
  return new Participant({
    messenger,
    coordinator: new Coordinator({ now, sleep, random: Math.random }),
    ...(tags === undefined ? {} : { tags }),
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

/** What the desk needs of the service. */
export interface TagDeskParts {
  readonly filter: ReferenceFilter;
  readonly privateRegistries: readonly PrivateRegistry[];
  readonly log: Logger;
  readonly events: TagEvents;
}

/** The desk, with its connections to registries. */
export interface OpenTagDesk extends Disposable {
  readonly desk: TagDesk;
}

/**
 * Creates what asks upstream about tags. Peers say what is asked for, so it is asked only of registries that the operator
 * named, and never about what is private.
 *
 * @param config Which registries are asked.
 * @param parts What it needs of the service.
 * @returns The desk; dispose of it to close its connections.
 */
export function createTagDesk(config: TagResolutionConfig, parts: TagDeskParts): OpenTagDesk {
  const { filter, log, events } = parts;
  const urls = new Map(config.registries.map(({ host, url }) => [host, url]));
  const secrets = new PrivateRegistries(parts.privateRegistries);
  const { configPath } = config;
  const settings = new UpstreamSettings({ configPath, urlOf: (host) => urls.get(host), log });
  const client = new UpstreamClient({ settings: (registry) => settings.of(registry), log });
  const desk = new TagDesk({
    allows: async (tag) =>
      filter.allows(tag) && !secrets.covers(tag) &&
      (urls.has(tag.registry) || await settings.names(tag.registry)),
    ask: (tag, signal) => describeTag(client, tag, signal),
    log,
    events,
    now: () => performance.now(),
  });
  return { desk, [Symbol.dispose]: () => client.close() };
}
