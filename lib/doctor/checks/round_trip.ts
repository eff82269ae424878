/**
 * Does a peer deliver real bytes?
 *
 * @module
 */
import { NotFoundError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import type { DigestPath } from "../../oci/distribution.ts";
import type { Peer } from "../../routing/router.ts";
import type { Source, Store } from "../../store/store.ts";
import { PeerClient } from "../../transfer/peer_client.ts";
import { readAll } from "../../transfer/read_all.ts";
import type { Check, CheckContext } from "../check.ts";
import { type Finding, reporter } from "../finding.ts";

/** Bytes that are fetched. */
export const SAMPLE_BYTES = 1024;

/** Contents that are tried until one is found that a peer has, too. */
export const MAX_CONTENTS_TRIED = 32;

const roundTrip = reporter("round-trip");

/** Content that this node and others have. */
interface Shared {
  readonly path: DigestPath;
  readonly peers: readonly Peer[];
}

/** Fetches the beginning of a content from a peer, and compares it with what is here. */
export const roundTripCheck: Check = {
  name: "round-trip",
  async run(context, signal) {
    const { mirror, settings, containerd } = context;
    if (mirror.kind !== "told" || mirror.status.peers.length === 0) return [];
    // Told by another check.
    if (settings.store === "containerd" && containerd instanceof Error) return [];
    if (mirror.status.transfer?.tls === "required") {
      return [roundTrip.ok("not tried: peers deliver to one another alone, over TLS")];
    }
    const shared = await findShared(context, signal);
    if (shared === undefined) {
      return [roundTrip.ok("not tried: no content was found that is here and at a peer")];
    }
    return [await fetchFrom(shared, context, signal)];
  },
};

async function findShared(
  { store, node }: CheckContext,
  signal: AbortSignal,
): Promise<Shared | undefined> {
  const contents = new Map<Digest, Source>();
  for (const { kind, digest, sources: [source] } of await store.list()) {
    if (kind !== "tag" && source !== undefined) contents.set(digest, source);
  }
  for (const [digest, source] of [...contents].slice(0, MAX_CONTENTS_TRIED)) {
    const { peers } = await node.locate(digest, signal);
    if (peers.length > 0) {
      return { path: { ...source, kind: "blobs", digest, key: digest }, peers };
    }
  }
  return undefined;
}

/** Asks one peer after the other: a record of a peer may be older than what it has. */
async function fetchFrom(
  { path, peers }: Shared,
  context: CheckContext,
  signal: AbortSignal,
): Promise<Finding> {
  const { authorization, store, now } = context;
  const client = new PeerClient(authorization === undefined ? {} : { authorization });
  const range = `bytes=0-${SAMPLE_BYTES - 1}`;
  let failure = "";
  for (const peer of peers) {
    const startedAt = now();
    try {
      const answer = await client.request(peer, { path, method: "GET", range, signal });
      const { start, end, size, response, address } = answer;
      const bytes = await readAll({
        start,
        end,
        size,
        read: (into) => response.read(into),
        close: () => Promise.resolve(response.close()),
      }, SAMPLE_BYTES);
      const took = `${(now() - startedAt).toFixed(1)} ms`;
      if (!await isSame(bytes, path.digest, store)) {
        return roundTrip.found("blob-differs", `${address} has other bytes for ${path.digest}`);
      }
      return roundTrip.ok(`${address} delivers ${bytes.length} bytes of ${path.digest} in ${took}`);
    } catch (error) {
      failure = (error as Error).message;
      if (error instanceof NotFoundError) failure = `${peer.addresses[0]} does not have it`;
    }
  }
  return roundTrip.found("blob-not-delivered", `${path.digest}: ${failure}`);
}

async function isSame(bytes: Uint8Array, digest: Digest, store: Store): Promise<boolean> {
  if (bytes.length === 0) return true;
  const own = await readAll(
    await store.open(digest, { start: 0, end: bytes.length - 1 }),
    SAMPLE_BYTES,
  );
  return own.every((byte, index) => byte === bytes[index]);
}
