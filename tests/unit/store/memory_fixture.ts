/**
 * A memory store for the compliance test, alone or within another store.
 *
 * @module
 */
import type { Digest } from "../../../lib/oci/digest.ts";
import { MemoryStore } from "../../../lib/store/memory_store.ts";
import type { Store } from "../../../lib/store/store.ts";
import type { StoreFixture } from "./compliance.ts";

/**
 * Makes a fixture.
 *
 * @param wrap Makes the store to test from the memory store.
 * @returns The fixture, with an empty store.
 */
export function memoryFixture(
  wrap: (inner: MemoryStore) => Store = (inner) => inner,
): StoreFixture {
  const inner = new MemoryStore();
  const store = wrap(inner);
  const images = new Map<string, readonly Digest[]>();
  return {
    store,
    add(reference, image) {
      const contents = [...image.blobs, image.manifest];
      for (const { bytes } of contents) inner.put(bytes);
      inner.tag(reference, image.manifest.digest);
      images.set(reference, contents.map(({ digest }) => digest));
      return Promise.resolve();
    },
    remove(reference) {
      const gone = images.get(reference) ?? [];
      images.delete(reference);
      inner.untag(reference);
      const kept = new Set([...images.values()].flat());
      for (const digest of gone) if (!kept.has(digest)) inner.remove(digest);
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => store.close(),
  };
}
