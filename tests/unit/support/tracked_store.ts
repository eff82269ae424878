/**
 * A store that knows which of its readers are open.
 *
 * @module
 */
import type { Digest } from "../../../lib/oci/digest.ts";
import { MemoryStore } from "../../../lib/store/memory_store.ts";
import type { ByteRange, ContentReader } from "../../../lib/store/store.ts";

/** Content in memory, with a count of its readers. */
export class TrackedStore extends MemoryStore {
  /** Readers that are open now. */
  readonly openReaders: Set<ContentReader> = new Set();
  /** Readers that have been opened so far. */
  opened = 0;

  override async open(digest: Digest, range?: ByteRange): Promise<ContentReader> {
    return this.track(await super.open(digest, range));
  }

  /** Counts a reader of any making. */
  track(inner: ContentReader): ContentReader {
    const open = this.openReaders;
    const reader: ContentReader = {
      size: inner.size,
      start: inner.start,
      end: inner.end,
      ...(inner.version === undefined ? {} : { version: inner.version }),
      read: (into) => inner.read(into),
      close() {
        open.delete(reader);
        return inner.close();
      },
    };
    this.opened += 1;
    open.add(reader);
    return reader;
  }
}
