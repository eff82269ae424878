/**
 * Puts together what guards private content.
 *
 * @module
 */
import { AccessGate } from "../access/gate.ts";
import { Origins } from "../access/origins.ts";
import { PrivateRegistries } from "../access/private_registries.ts";
import { AccessProofs, type Verdict } from "../access/proofs.ts";
import { UpstreamClient } from "../access/upstream_client.ts";
import { UpstreamSettings } from "../access/upstream_settings.ts";
import type { AccessConfig } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import type { Store } from "../store/store.ts";

/** What the gate needs of the service. */
export interface AccessParts {
  readonly store: Store;
  /** Whether peers must show that they belong to the cluster. */
  readonly knowsPeers: boolean;
  readonly log: Logger;
  readonly onVerdict: (verdict: Verdict) => void;
}

/** The gate, with its connections to registries. */
export interface OpenGate extends Disposable {
  readonly gate: AccessGate;
}

/**
 * Creates the gate.
 *
 * @param config What is private.
 * @param parts What it needs of the service.
 * @returns The gate; dispose of it to close its connections.
 */
export function createAccessGate(config: AccessConfig, parts: AccessParts): OpenGate {
  const { store, knowsPeers, log, onVerdict } = parts;
  const registries = new PrivateRegistries(config.registries);
  const settings = new UpstreamSettings({
    configPath: config.configPath,
    urlOf: (registry) => registries.urlOf(registry),
    log,
  });
  const client = new UpstreamClient({ settings: (registry) => settings.of(registry), log });
  const proofs = new AccessProofs({
    ask: (question) => client.ask(question),
    ttlMs: config.proofTtlMs,
    onVerdict,
  });
  const origins = new Origins({ registries, sources: (digest) => store.sources(digest) });
  if (!knowsPeers) {
    log.warn("private content is not safe from whoever claims to be a peer", {
      remedy: "set a cluster secret or basic-auth credentials, see docs/private-images.md",
    });
  }
  const { opensWhenUnreachable } = config;
  return {
    gate: new AccessGate({ registries, proofs, origins, opensWhenUnreachable }),
    [Symbol.dispose]: () => client.close(),
  };
}
