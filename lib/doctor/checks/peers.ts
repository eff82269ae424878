/**
 * Are there peers, and do they answer?
 *
 * @module
 */
import type { Peer } from "../../routing/router.ts";
import { hostAndPort } from "../../transfer/http_client.ts";
import type { Check } from "../check.ts";
import { type Finding, reporter } from "../finding.ts";
import type { HttpAsker } from "../http_asker.ts";
import { isOnlyNode } from "../problems.ts";

/** Most peers that are asked. */
export const MAX_PEERS_ASKED = 64;

const peers = reporter("peers");

/** The peers that the mirror knows. */
export const peersCheck: Check = {
  name: "peers",
  async run({ mirror, ask }, signal) {
    if (mirror.kind !== "told") return [];
    const { status } = mirror;
    const lost = status.lost.map(({ id, addresses, agoMs }) =>
      peers.found(
        "peer-lost",
        `${id} at ${addresses.join(" or ")} was lost ${Math.round(agoMs / 1000)} s ago`,
      )
    );
    if (status.peers.length === 0) {
      const code = isOnlyNode(status) ? "peers-alone" : "peers-none";
      const none = peers.found(code, status.router.detail);
      return [none, ...lost];
    }
    const asked = status.peers.slice(0, MAX_PEERS_ASKED);
    const answers = await Promise.all(asked.map((peer) => askPeer(peer, ask, signal)));
    if (answers.every(({ isThere }) => !isThere)) {
      const what = `none of ${asked.length} answers: ${answers.map(({ text }) => text).join("; ")}`;
      return [peers.found("peers-silent", what), ...lost];
    }
    const found: Finding[] = answers.map(({ isThere, text }) =>
      isThere ? peers.ok(text) : peers.found("peer-silent", text)
    );
    const rest = status.peers.length - asked.length;
    if (rest > 0) found.push(peers.ok(`${rest} more were not asked`));
    return [...found, ...lost];
  },
};

async function askPeer(
  peer: Peer,
  ask: HttpAsker,
  signal: AbortSignal,
): Promise<{ isThere: boolean; text: string }> {
  const zone = peer.zone === undefined ? "" : ` in ${peer.zone}`;
  const version = peer.version === undefined ? "no Kagami, or not told" : `Kagami ${peer.version}`;
  let failure = "has no address";
  for (const address of peer.addresses) {
    const place = hostAndPort(address, peer.registryPort);
    try {
      const { status, milliseconds } = await ask(`http://${place}/readyz`, { signal });
      const ready = status === 200 ? "" : `, not ready (${status})`;
      return {
        isThere: true,
        text: `${place}${zone} answers in ${milliseconds.toFixed(1)} ms, ${version}${ready}`,
      };
    } catch (error) {
      failure = (error as Error).message;
    }
  }
  return { isThere: false, text: `${failure} (${peer.id})` };
}
