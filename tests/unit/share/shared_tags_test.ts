import assert from "node:assert/strict";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { parseDigest } from "../../../lib/oci/digest.ts";
import { OCI_INDEX } from "../../../lib/oci/media_types.ts";
import type { TagReference } from "../../../lib/oci/reference.ts";
import type { AnswerQuestion, Messenger } from "../../../lib/routing/messenger.ts";
import { Coordinator } from "../../../lib/share/coordinator.ts";
import { Participant } from "../../../lib/share/participant.ts";
import { TAG_WAIT_MS } from "../../../lib/share/questions.ts";
import { TagDesk, UNREACHABLE_TTL_MS } from "../../../lib/share/tag_desk.ts";
import type { Descriptor } from "../../../lib/store/store.ts";
import { FakeClock } from "../support/fake_clock.ts";

const TAG = { registry: "registry.test", repository: "team/app", tag: "v1" };
const QUESTION = { type: "resolve", ...TAG };
const FOUND: Descriptor = {
  digest: parseDigest(`sha256:${"a".repeat(64)}`),
  mediaType: OCI_INDEX,
  size: 500,
};

/** Where nodes lie, and the tag at 0. */
const PLACES: Readonly<Record<string, number>> = { near: 1, next: 2, third: 3, self: 4, far: 8 };

const FROM = { id: "far", addresses: ["10.0.0.1"], registryPort: 5000 };

function positioned(id: string): { id: string; position: Uint8Array } {
  return { id, position: Uint8Array.from([PLACES[id]!]) };
}

/** A node whose desk finds the tag, among nodes that answer as a test says. */
class Bed {
  readonly clock = new FakeClock();
  readonly asked: { readonly id: string; readonly question: unknown }[] = [];
  readonly placed: string[] = [];
  answer: AnswerQuestion | undefined;
  readonly participant: Participant;

  /** A node without an answer is silent. */
  constructor(answers: Readonly<Record<string, unknown>>, hasDesk = true) {
    const { now, sleep } = this.clock;
    const messenger: Messenger = {
      self: positioned("self"),
      neighbours: () => Object.keys(answers).map(positioned),
      place: (key) => {
        this.placed.push(key);
        return Uint8Array.from([0]);
      },
      describe: () => Promise.resolve(undefined),
      serve: (answer) => {
        this.answer = answer;
        return Promise.resolve();
      },
      ask: (id, question) => {
        this.asked.push({ id, question });
        const answer = answers[id];
        if (answer instanceof Error) return Promise.reject(answer);
        return answer === undefined ? new Promise(() => {}) : Promise.resolve(answer);
      },
    };
    const tags = new TagDesk({
      allows: () => Promise.resolve(true),
      ask: () => Promise.resolve(FOUND),
      log: silentLogger,
      now,
    });
    this.participant = new Participant({
      messenger,
      coordinator: new Coordinator({ now, sleep, random: () => 0 }),
      ...(hasDesk ? { tags } : {}),
      progress: () => Promise.resolve([]),
      has: () => Promise.resolve(false),
      log: silentLogger,
      now,
      sleep,
    });
  }

  resolve(
    signal = new AbortController().signal,
    tag: TagReference = TAG,
  ): Promise<Descriptor | undefined> {
    return this.participant.resolve(tag, signal);
  }
}

Deno.test("Participant asks the node closest to a tag what it stands for", async () => {
  const bed = new Bed({ far: {}, next: {}, near: { descriptor: FOUND } });
  assert.deepEqual(await bed.resolve(), FOUND);
  assert.deepEqual(bed.asked, [{ id: "near", question: QUESTION }]);
  assert.deepEqual(bed.placed, ["registry.test/team/app:v1"]);
});

Deno.test("Participant takes it that upstream does not say from the first who answers", async () => {
  const bed = new Bed({ next: { descriptor: FOUND }, near: {} });
  assert.equal(await bed.resolve(), undefined);
  assert.deepEqual(bed.asked.map(({ id }) => id), ["near"]);
});

Deno.test("Participant turns to the second node about a tag when the first does not answer, or without sense", async () => {
  for (const answer of [new Error("gone"), { descriptor: "no sense" }]) {
    const bed = new Bed({ next: { descriptor: FOUND }, near: answer });
    assert.deepEqual(await bed.resolve(), FOUND);
    assert.deepEqual(bed.asked.map(({ id }) => id), ["near", "next"]);
    // A node of an older version decides about contents all the same.
    assert.deepEqual(await bed.resolve(), FOUND);
    assert.deepEqual(bed.asked.map(({ id }) => id), ["near", "next", "near", "next"]);
  }
});

Deno.test("Participant asks no fourth node about a tag", async () => {
  const bed = new Bed({
    far: { descriptor: FOUND },
    third: new Error("gone"),
    next: new Error("gone"),
    near: new Error("gone"),
  });
  assert.equal(await bed.resolve(), undefined);
  assert.deepEqual(bed.asked.map(({ id }) => id), ["near", "next", "third"]);
});

Deno.test("Participant waits no longer than so for what a tag stands for", async () => {
  const bed = new Bed({ next: undefined, near: undefined });
  let isOver = false;
  const resolving = bed.resolve().finally(() => isOver = true);
  await bed.clock.advance(TAG_WAIT_MS - 1);
  assert.equal(isOver, false);
  await bed.clock.advance(1);
  assert.equal(await resolving, undefined);
});

Deno.test("Participant leaves a registry to containerd for a while that kept a pull waiting", async () => {
  const silent = new Bed({ next: undefined, near: undefined });
  const waiting = silent.resolve();
  await silent.clock.advance(TAG_WAIT_MS);
  assert.equal(await waiting, undefined);
  const told = new Bed({ next: { descriptor: FOUND }, near: { away: true } });
  assert.equal(await told.resolve(), undefined);
  for (const bed of [silent, told]) {
    const before = bed.asked.length;
    await bed.clock.advance(UNREACHABLE_TTL_MS - 1);
    const signal = new AbortController().signal;
    assert.equal(await bed.resolve(signal, { ...TAG, tag: "v2" }), undefined);
    assert.equal(bed.asked.length, before);
  }
  const signal = new AbortController().signal;
  await told.resolve(signal, { ...TAG, registry: "other.test" });
  assert.deepEqual(told.asked.at(-1)!.question, { ...QUESTION, registry: "other.test" });
  await told.clock.advance(1);
  await told.resolve();
  assert.deepEqual(told.asked.at(-1)!.question, QUESTION);
});

Deno.test("Participant keeps asking about tags of a registry after a client that hung up", async () => {
  const bed = new Bed({ near: undefined });
  const over = new AbortController();
  const resolving = bed.resolve(over.signal);
  over.abort();
  assert.equal(await resolving, undefined);
  void bed.resolve();
  assert.equal(bed.asked.length, 2);
});

Deno.test("Participant asks upstream itself about tags that it is closest to", async () => {
  const bed = new Bed({ far: {} });
  assert.deepEqual(await bed.resolve(), FOUND);
  assert.deepEqual(bed.asked, []);
});

Deno.test("Participant asks nobody about tags when it is alone, or does not share them", async () => {
  assert.equal(await new Bed({}).resolve(), undefined);
  const bed = new Bed({ near: { descriptor: FOUND } }, false);
  assert.equal(await bed.resolve(), undefined);
  assert.deepEqual(bed.asked, []);
});

Deno.test("Participant tells others what a tag stands for, and nothing if it does not share tags", async () => {
  for (const [hasDesk, expected] of [[true, { descriptor: FOUND }], [false, {}]] as const) {
    const bed = new Bed({ far: {} }, hasDesk);
    await bed.participant.serve();
    assert.deepEqual(await bed.answer!(FROM, QUESTION), expected);
  }
});
