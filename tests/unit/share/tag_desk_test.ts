import assert from "node:assert/strict";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { parseDigest } from "../../../lib/oci/digest.ts";
import { OCI_INDEX } from "../../../lib/oci/media_types.ts";
import { referenceKey, type TagReference } from "../../../lib/oci/reference.ts";
import {
  MAX_TAG_QUESTIONS,
  MAX_TAGS,
  TAG_TTL_MS,
  TagDesk,
  UNREACHABLE_TTL_MS,
} from "../../../lib/share/tag_desk.ts";
import type { Descriptor } from "../../../lib/store/store.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const TAG = tagOf("v1");
const FOUND: Descriptor = {
  digest: parseDigest(`sha256:${"a".repeat(64)}`),
  mediaType: OCI_INDEX,
  size: 500,
};

function tagOf(tag: string, registry = "registry.test"): TagReference {
  return { registry, repository: "team/app", tag };
}

/** A desk whose upstream answers when a test says so. */
class Bed {
  readonly clock = new FakeClock();
  /** Questions to upstream that are not answered yet, oldest first. */
  readonly open: PromiseWithResolvers<Descriptor | undefined>[] = [];
  readonly asked: string[] = [];
  readonly events: string[] = [];
  allows = true;
  readonly desk = new TagDesk({
    allows: () => Promise.resolve(this.allows),
    ask: (tag) => {
      this.asked.push(referenceKey(tag));
      const question = Promise.withResolvers<Descriptor | undefined>();
      this.open.push(question);
      return question.promise;
    },
    log: silentLogger,
    events: {
      asked: () => this.events.push("asked"),
      answered: () => this.events.push("answered"),
    },
    now: this.clock.now,
  });

  /** Asks, and lets upstream answer at once. */
  async resolve(tag: TagReference, answer: Descriptor | undefined | Error): Promise<unknown> {
    const result = this.desk.resolve(tag);
    await settle();
    const question = this.open.pop();
    if (answer instanceof Error) question?.reject(answer);
    else question?.resolve(answer);
    return await result;
  }
}

Deno.test("TagDesk asks upstream once for all who ask at the same time", async () => {
  const bed = new Bed();
  const all = Promise.all(Array.from({ length: 5 }, () => bed.desk.resolve(TAG)));
  await settle();
  assert.deepEqual(bed.asked, ["registry.test/team/app:v1"]);
  bed.open[0]!.resolve(FOUND);
  assert.deepEqual(await all, Array(5).fill(FOUND));
  assert.deepEqual(bed.events, ["asked", ...Array(5).fill("answered")]);
});

Deno.test("TagDesk remembers an answer for a moment, from when it came", async () => {
  const bed = new Bed();
  const first = bed.desk.resolve(TAG);
  await bed.clock.advance(TAG_TTL_MS * 2);
  bed.open.pop()!.resolve(FOUND);
  assert.deepEqual(await first, FOUND);
  await bed.clock.advance(TAG_TTL_MS - 1);
  assert.deepEqual(await bed.desk.resolve(TAG), FOUND);
  assert.equal(bed.asked.length, 1);
  await bed.clock.advance(1);
  assert.equal(await bed.resolve(TAG, undefined), undefined);
  assert.equal(bed.asked.length, 2);
});

Deno.test("TagDesk remembers that upstream does not say", async () => {
  const bed = new Bed();
  assert.equal(await bed.resolve(TAG, undefined), undefined);
  assert.equal(await bed.desk.resolve(TAG), undefined);
  assert.equal(bed.asked.length, 1);
  await bed.clock.advance(TAG_TTL_MS);
  assert.deepEqual(await bed.resolve(TAG, FOUND), FOUND);
  assert.deepEqual(bed.events, ["asked", "asked", "answered"]);
});

Deno.test("TagDesk leaves a registry alone that cannot be reached, and asks others", async () => {
  const bed = new Bed();
  assert.equal(await bed.resolve(TAG, new Error("away")), undefined);
  await bed.clock.advance(UNREACHABLE_TTL_MS - 1);
  assert.equal(await bed.desk.resolve(TAG), undefined);
  assert.equal(await bed.desk.resolve(tagOf("v2")), undefined);
  assert.equal(bed.asked.length, 1);
  assert.deepEqual(await bed.resolve(tagOf("v1", "other.test"), FOUND), FOUND);
  await bed.clock.advance(1);
  assert.deepEqual(await bed.resolve(TAG, FOUND), FOUND);
});

Deno.test("TagDesk asks nobody about a tag that upstream may not be asked about", async () => {
  const bed = new Bed();
  bed.allows = false;
  assert.equal(await bed.desk.resolve(TAG), undefined);
  assert.deepEqual([bed.asked, bed.events], [[], []]);
});

Deno.test("TagDesk asks no more than so many questions at the same time", async () => {
  const bed = new Bed();
  const many = Array.from(
    { length: MAX_TAG_QUESTIONS },
    (_, at) => bed.desk.resolve(tagOf(`v${at}`)),
  );
  await settle();
  assert.equal(await bed.desk.resolve(tagOf("further")), undefined);
  assert.equal(bed.asked.length, MAX_TAG_QUESTIONS);
  for (const question of bed.open.splice(0)) question.resolve(FOUND);
  assert.deepEqual(await Promise.all(many), Array(MAX_TAG_QUESTIONS).fill(FOUND));
  assert.deepEqual(await bed.resolve(tagOf("further"), FOUND), FOUND);
});

Deno.test("TagDesk remembers no more than so many tags", async () => {
  const bed = new Bed();
  for (let at = 0; at < MAX_TAGS; at++) await bed.resolve(tagOf(`v${at}`), undefined);
  assert.equal(await bed.desk.resolve(tagOf("further")), undefined);
  assert.equal(bed.asked.length, MAX_TAGS);
  await bed.clock.advance(TAG_TTL_MS);
  assert.deepEqual(await bed.resolve(tagOf("further"), FOUND), FOUND);
});
