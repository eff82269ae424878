import assert from "node:assert/strict";
import {
  MAX_SMALL_CONTENT,
  MAX_SMALL_CONTENT_MEMORY,
  SmallContents,
} from "../../../lib/store/small_contents.ts";
import { makeContent } from "../support/content.ts";

Deno.test("SmallContents forgets the oldest when its memory is full", () => {
  const contents = new SmallContents();
  const count = MAX_SMALL_CONTENT_MEMORY / MAX_SMALL_CONTENT;
  const all = Array.from({ length: count + 1 }, (_, seed) => {
    const { digest } = makeContent(10, seed + 1);
    return { digest, bytes: new Uint8Array(MAX_SMALL_CONTENT) };
  });
  for (const { digest, bytes } of all.slice(0, count)) contents.set(digest, bytes);
  // Anew: it is the youngest now, and counts once.
  contents.set(all[0]!.digest, all[0]!.bytes);
  assert.ok(all.slice(0, count).every(({ digest }) => contents.get(digest) !== undefined));
  contents.set(all[count]!.digest, all[count]!.bytes);
  assert.equal(contents.get(all[1]!.digest), undefined);
  assert.equal(contents.get(all[0]!.digest), all[0]!.bytes);
  contents.delete(all[0]!.digest);
  contents.set(all[1]!.digest, all[1]!.bytes);
  assert.ok(all.slice(1).every(({ digest }) => contents.get(digest) !== undefined));
});
