/**
 * A node to test with: real HTTP server, verified store.
 *
 * @module
 */
import { silentLogger } from "../../../lib/observability/logger.ts";
import { VerifiedStore } from "../../../lib/store/verified_store.ts";
import { makeImage, type StoreFixture } from "../../unit/store/compliance.ts";
import { type RegistryNode, startRegistryNode } from "../../unit/support/registry_node.ts";
import { OTHER_REGISTRY, REGISTRY, REPOSITORY, TAGS } from "./content.ts";

/**
 * Fills a store with all images, and starts a node on it.
 *
 * @param fixture An empty store.
 * @returns The node, on a port of the loopback address.
 */
export async function startConformanceNode(fixture: StoreFixture): Promise<RegistryNode> {
  for (const [tag, image] of Object.entries(TAGS)) {
    await fixture.add(`${REGISTRY}/${REPOSITORY}:${tag}`, image);
  }
  await fixture.add(`${OTHER_REGISTRY}/${REPOSITORY}:elsewhere`, makeImage(9));
  return await startRegistryNode({
    store: new VerifiedStore(fixture.store, { log: silentLogger }),
    defaultRegistry: REGISTRY,
  });
}
