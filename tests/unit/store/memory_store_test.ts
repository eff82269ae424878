import { MemoryStore } from "../../../lib/store/memory_store.ts";
import { type StoreFixture, testStoreCompliance } from "./compliance.ts";

function createFixture(): Promise<StoreFixture> {
  const store = new MemoryStore();
  const images = new Map<string, { manifest: string; digests: string[] }>();
  return Promise.resolve({
    store,
    add(reference, image) {
      for (const blob of [...image.blobs, image.manifest]) store.put(blob.bytes);
      store.tag(reference, image.manifest.digest);
      images.set(reference, {
        manifest: image.manifest.digest,
        digests: [image.manifest, ...image.blobs].map((blob) => blob.digest),
      });
      return Promise.resolve();
    },
    remove(reference) {
      const gone = images.get(reference)?.digests ?? [];
      images.delete(reference);
      store.untag(reference);
      const kept = new Set([...images.values()].flatMap((image) => image.digests));
      for (const digest of gone) {
        if (!kept.has(digest)) store.remove(digest as Parameters<MemoryStore["remove"]>[0]);
      }
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => store.close(),
  });
}

testStoreCompliance("MemoryStore", createFixture);
