/**
 * Does content travel safely between nodes?
 *
 * @module
 */
import type { NodeStatus, PeerTransferStatus } from "../../debug/node_status.ts";
import type { Peer } from "../../routing/router.ts";
import { loadMembershipKeys } from "../../routing/libp2p/cluster_secret.ts";
import { placeOf } from "../../transfer/place_of.ts";
import type { Check } from "../check.ts";
import { type Finding, reporter } from "../finding.ts";

/** Most peers that are named. */
const MAX_NAMED = 8;

const secret = reporter("secret");

/** The secret of the cluster. */
export const secretCheck: Check = {
  name: "secret",
  async run({ settings: { clusterSecretPath: path } }) {
    if (path === undefined) return [];
    try {
      const { length } = await loadMembershipKeys(path);
      const rotation = length === 1 ? "" : `, ${length} of them while they are rotated`;
      return [secret.ok(`the cluster's secret is in ${path}${rotation}`)];
    } catch (error) {
      return [secret.found("secret-unusable", (error as Error).message)];
    }
  },
};

const transfer = reporter("transfer");

/** What travels over TLS, and what does not. */
export const transferCheck: Check = {
  name: "transfer",
  run({ mirror }) {
    if (mirror.kind !== "told" || mirror.status.transfer === undefined) return Promise.resolve([]);
    const { status } = mirror;
    return Promise.resolve([
      ...refused(mirror.status.transfer),
      ...peersOf(status, mirror.status.transfer),
    ]);
  },
};

function refused({ refusedContainerds: addresses }: PeerTransferStatus): Finding[] {
  if (addresses.length === 0) return [];
  const what = `a containerd at ${named(addresses)} was refused`;
  return [transfer.found("containerd-refused", what)];
}

function peersOf({ peers }: NodeStatus, state: PeerTransferStatus): Finding[] {
  const { tls, transports, membersOnly } = state;
  if (tls === "never") return [transfer.found("transfer-plain-only", "no TLS between nodes")];
  const of = (kind: "tls" | "plain" | undefined) =>
    peers.filter(({ id }) => transports[id] === kind);
  const found: Finding[] = [];
  const [secure, plain, untold] = [of("tls"), of("plain"), of(undefined)];
  if (plain.length > 0) {
    const code = tls === "required" ? "transfer-impossible" : "transfer-plain";
    found.push(transfer.found(code, `${plain.length} of ${peers.length} peers: ${places(plain)}`));
  }
  if (untold.length > 0) {
    const what = `${untold.length} of ${peers.length} peers: ${places(untold)}`;
    found.push(transfer.found("transfer-untold", what));
  }
  if (secure.length > 0) {
    const members = membersOnly ? ", all with the cluster's secret" : "";
    found.push(transfer.ok(`TLS with ${secure.length} of ${peers.length} peers${members}`));
  }
  return found;
}

function places(peers: readonly Peer[]): string {
  return named(peers.map(placeOf));
}

function named(texts: readonly string[]): string {
  const rest = texts.length - MAX_NAMED;
  return texts.slice(0, MAX_NAMED).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
