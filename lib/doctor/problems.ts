/**
 * What is wrong with a running mirror, as far as it can tell by itself.
 *
 * @module
 */
import type { Probe, Problem } from "../debug/node_activity.ts";
import type { NodeStatus } from "../debug/node_status.ts";
import { type FindingCode, FINDINGS } from "./finding.ts";

/** How the router says that it is the only node, not that it found none. */
const ALONE = "no other nodes";

/**
 * @param status The state of a mirror that knows no peers.
 * @returns True if it is the only node. One that others start from has nobody to ask once it has lost them all.
 */
export function isOnlyNode({ router, lost }: NodeStatus): boolean {
  return router.detail === ALONE && lost.length === 0;
}

/**
 * Looks for problems.
 *
 * @param status The state of the mirror.
 * @param probes How its peers answered, by identity.
 * @returns Each with its remedy.
 */
export function problemsOf(
  status: NodeStatus,
  probes: Readonly<Record<string, Probe>>,
): Problem[] {
  const { store, router, peers, lost, settings } = status;
  const problems: Problem[] = [];
  const found = (code: FindingCode, what: string) => {
    const { level, remedy } = FINDINGS[code];
    problems.push({ level, what, remedy });
  };
  if (!store.ready) {
    const code = settings.store === "containerd" ? "containerd-silent" : "layout-unreadable";
    found(code, `the store is not ready: ${store.detail}`);
  }
  if (peers.length === 0) {
    found(isOnlyNode(status) ? "peers-alone" : "peers-none", router.detail);
  }
  const silent = peers.filter(({ id }) => probes[id]?.state === "silent");
  if (silent.length > 0 && silent.length === peers.length) {
    found("peers-silent", `none of ${peers.length} peers answers on its registry port`);
  } else {
    for (const { id } of silent) found("peer-silent", `${probes[id]?.failure} (peer ${id})`);
  }
  for (const { id, addresses, agoMs } of lost) {
    const where = addresses.join(" or ");
    found("peer-lost", `${id} at ${where} was lost ${Math.round(agoMs / 1000)} s ago`);
  }
  return problems;
}
