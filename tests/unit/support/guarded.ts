/**
 * A gate before private content, with an upstream registry that answers as a test says.
 *
 * @module
 */
import { AccessGate } from "../../../lib/access/gate.ts";
import { Origins } from "../../../lib/access/origins.ts";
import { PrivateRegistries } from "../../../lib/access/private_registries.ts";
import { AccessProofs } from "../../../lib/access/proofs.ts";
import type { AccessQuestion, UpstreamAnswer } from "../../../lib/access/upstream_client.ts";
import type { Store } from "../../../lib/store/store.ts";

/** A gate, and what it asked upstream. */
export interface Guarded {
  readonly asked: readonly AccessQuestion[];
  /** For the options of a node. */
  readonly access: (store: Store) => AccessGate;
}

/**
 * Makes a gate.
 *
 * @param host The registry that is private.
 * @param answer What the registry says.
 * @param opensWhenUnreachable Whether it opens while that is away.
 * @returns The gate.
 */
export function guarded(
  host: string,
  answer: (question: AccessQuestion) => UpstreamAnswer,
  opensWhenUnreachable = false,
): Guarded {
  const asked: AccessQuestion[] = [];
  const registries = new PrivateRegistries([{ host, url: `https://${host}` }]);
  const proofs = new AccessProofs({
    ask: (question) => {
      asked.push(question);
      return Promise.resolve(answer(question));
    },
    ttlMs: 60_000,
  });
  const access = (store: Store) => {
    const origins = new Origins({ registries, sources: (digest) => store.sources(digest) });
    return new AccessGate({ registries, proofs, origins, opensWhenUnreachable });
  };
  return { asked, access };
}
