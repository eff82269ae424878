import assert from "node:assert/strict";
import { silentLogger } from "../../../lib/observability/logger.ts";
import type { AnswerQuestion, Messenger } from "../../../lib/routing/messenger.ts";
import {
  Coordinator,
  FETCH_START_MS,
  HANDOVER_MS,
  HOLD_MS,
  QUEUED_MS,
} from "../../../lib/share/coordinator.ts";
import type { Instruction, ReportEntry } from "../../../lib/share/messages.ts";
import {
  FIRST_BYTE_MS,
  IDLE_MS,
  LED_MS,
  MAX_PARENTS,
  Participant,
  REPORT_MS,
} from "../../../lib/share/participant.ts";
import type { Progress } from "../../../lib/share/own_downloads.ts";
import { ASK_MS, DECISION_MS } from "../../../lib/share/questions.ts";
import { FakeClock } from "../support/fake_clock.ts";

const KEY = `sha256:${"a".repeat(64)}`;
const FOLLOW = followOf("parent");

const WANT = { type: "want", key: KEY, offset: 0, fetching: 0, hops: 0 };

/** Where nodes lie, and the key at 0. */
const PLACES: Readonly<Record<string, number>> = { near: 1, next: 2, self: 4, far: 8 };

function followOf(id: string): Instruction {
  return { do: "follow", peer: { id, addresses: ["10.0.0.1"], registryPort: 5000 } };
}

function positioned(id: string): { id: string; position: Uint8Array } {
  return { id, position: Uint8Array.from([PLACES[id] ?? 255]) };
}

/** A participant among nodes that answer as a test says. */
class Bed {
  readonly clock = new FakeClock();
  /** Who was asked what. */
  readonly asked: { readonly id: string; readonly question: Record<string, unknown> }[] = [];
  readonly events: string[] = [];
  /** What the nodes answer; a node without an answer is silent. */
  answers: Record<string, unknown> = {};
  downloads: Progress[] = [];
  isAway = false;
  has = false;
  answer: AnswerQuestion | undefined;
  readonly participant: Participant;

  constructor(readonly neighbours: string[]) {
    const { now, sleep } = this.clock;
    const messenger: Messenger = {
      self: positioned("self"),
      neighbours: () => this.neighbours.map(positioned),
      place: () => Uint8Array.from([0]),
      describe: () => Promise.resolve(undefined),
      serve: (answer) => {
        this.answer = answer;
        return Promise.resolve();
      },
      ask: (id, question) => {
        this.asked.push({ id, question: question as Record<string, unknown> });
        const answer = this.answers[id];
        if (answer instanceof Error) return Promise.reject(answer);
        return answer === undefined ? new Promise(() => {}) : Promise.resolve(answer);
      },
    };
    this.participant = new Participant({
      messenger,
      coordinator: new Coordinator({ now, sleep, random: () => 0 }),
      progress: () =>
        this.isAway ? Promise.reject(new Error("away")) : Promise.resolve(this.downloads),
      has: () => Promise.resolve(this.has),
      log: silentLogger,
      now,
      sleep,
      events: {
        fetching: () => this.events.push("fetching"),
        avoided: () => this.events.push("avoided"),
        abandoned: () => this.events.push("abandoned"),
        waited: (seconds) => this.events.push(`waited ${seconds}`),
      },
    });
  }

  join(offset = 0, signal = new AbortController().signal) {
    return this.participant.join(KEY, offset, signal);
  }

  /** Entries of all reports about the key. */
  get reported(): ReportEntry[] {
    return this.asked.filter(({ question }) => question["type"] === "report")
      .flatMap(({ question }) => question["entries"] as ReportEntry[]);
  }
}

/** Runs the reports for the time of a test. */
async function running(bed: Bed, test: () => Promise<void>): Promise<void> {
  const abort = new AbortController();
  const run = bed.participant.run(abort.signal);
  await test();
  abort.abort();
  await run;
}

Deno.test("Participant waits for nothing when no other node shares", async () => {
  const bed = new Bed([]);
  assert.equal(await bed.join(), undefined);
  assert.deepEqual(bed.events, []);
  assert.equal(bed.participant.size, 0);
});

Deno.test("Participant asks the node closest to the key, and does as it says", async () => {
  const bed = new Bed(["far", "next", "near"]);
  bed.answers = { near: { do: "fetch" } };
  assert.equal(await bed.join(7), undefined);
  const question = { type: "want", key: KEY, offset: 7, fetching: 0, hops: 0 };
  assert.deepEqual(bed.asked, [{ id: "near", question }]);
  assert.equal(bed.participant.state(KEY), "fetching");
  assert.deepEqual(bed.events, ["fetching", "waited 0"]);
  assert.equal(await bed.join(), undefined, "it is fetching already");
  assert.equal(bed.asked.length, 1);
});

Deno.test("Participant decides itself about keys that it is closest to", async () => {
  const bed = new Bed(["far"]);
  const joining = bed.join();
  await bed.clock.advance(HOLD_MS);
  assert.equal(await joining, undefined);
  assert.deepEqual(bed.asked, []);
});

Deno.test("Participant turns to the next node when one is silent, and does not ask that one again", async () => {
  const bed = new Bed(["near", "next"]);
  bed.answers = { next: FOLLOW };
  const joining = bed.join();
  await bed.clock.advance(ASK_MS);
  const source = await joining;
  assert.equal((await source?.next())?.id, "parent");
  source?.close(false);
  await bed.join();
  assert.deepEqual(bed.asked.map(({ id }) => id), ["near", "next", "next"]);
});

Deno.test("Participant goes upstream when nobody answers in time, or with sense", async () => {
  const bed = new Bed(["near", "next"]);
  const joining = bed.join();
  await bed.clock.advance(DECISION_MS);
  assert.equal(await joining, undefined);

  const other = new Bed(["near", "next"]);
  other.answers = { near: new Error("gone"), next: { do: "dance" } };
  const deciding = other.join();
  await other.clock.advance(HANDOVER_MS);
  assert.equal(await deciding, undefined);
});

Deno.test("Participant follows a coordinator's advice to ask another one, but not for ever", async () => {
  const bed = new Bed(["next"]);
  bed.answers = { next: { do: "ask", id: "near" }, near: FOLLOW };
  assert((await bed.join()) !== undefined);
  assert.deepEqual(bed.asked.map(({ id, question }) => [id, question["hops"]]), [
    ["next", 0],
    ["near", 1],
  ]);

  const circle = new Bed(["near", "next"]);
  circle.answers = { near: { do: "ask", id: "next" }, next: { do: "ask", id: "near" } };
  const going = circle.join();
  await circle.clock.advance(HANDOVER_MS);
  assert.equal(await going, undefined);
});

Deno.test("Participant lets a node decide that would send it to one that is gone", async () => {
  // They are asked anew each time, and the one that is gone no more.
  const lost = { ...WANT, lost: true };
  const bed = new Bed(["near", "next"]);
  bed.answers = { near: new Error("gone"), next: { do: "ask", id: "near" } };
  const joining = bed.join();
  await bed.clock.advance(HANDOVER_MS);
  await joining;
  assert.deepEqual(bed.asked.slice(0, 3), [
    { id: "near", question: WANT },
    { id: "next", question: lost },
    { id: "next", question: { ...lost, hops: 3 } },
  ]);

  // One that only the other node knows.
  const other = new Bed(["next"]);
  other.answers = { near: new Error("gone"), next: { do: "ask", id: "near" } };
  const asking = other.join();
  await other.clock.advance(HANDOVER_MS);
  await asking;
  assert.deepEqual(other.asked.slice(0, 3), [
    { id: "next", question: WANT },
    { id: "near", question: { ...WANT, hops: 1 } },
    { id: "next", question: { ...lost, hops: 3 } },
  ]);
});

Deno.test("Participant reports to the next coordinator at once when the first is gone", async () => {
  const bed = new Bed(["near", "next"]);
  bed.answers = { near: { do: "fetch" }, next: { do: "go on" } };
  await bed.join();
  bed.answers = { ...bed.answers, near: new Error("gone") };
  await running(bed, async () => {
    await bed.clock.advance(1);
    const told = bed.asked.filter(({ question }) => question["type"] === "report");
    assert.deepEqual(told.map(({ id }) => id), ["near", "next"]);
    assert.deepEqual(told[0]?.question, told[1]?.question);
  });
});

Deno.test("Participant sends others on to a node that is closer, unless they come from there", async () => {
  const bed = new Bed(["near", "far"]);
  await bed.participant.serve();
  const from = { id: "far", addresses: ["10.0.0.8"], registryPort: 5000 };
  const want = { type: "want", key: KEY, offset: 0, fetching: 0, hops: 0 };
  assert.deepEqual(await bed.answer!(from, want), { do: "ask", id: "near" });
  for (const [asker, question] of [["near", want], ["far", { ...want, hops: 3 }]] as const) {
    const answering = bed.answer!({ ...from, id: asker }, question);
    await bed.clock.advance(HOLD_MS);
    assert.notEqual((await answering as Instruction).do, "ask");
  }
  await assert.rejects(bed.answer!(from, { type: "other" }));
});

Deno.test("Participant names the parent that failed, and the next one that it is told", async () => {
  const bed = new Bed(["near"]);
  bed.answers = { near: FOLLOW };
  const source = (await bed.join())!;
  assert.equal((await source.next())?.id, "parent");
  source.progressed(100);
  bed.answers = { near: followOf("other") };
  assert.equal((await source.next())?.id, "other");
  const { broken, offset } = bed.asked.at(-1)!.question;
  assert.deepEqual([broken, offset], ["parent", 100]);
  source.close(true);
  assert.deepEqual(bed.events, ["waited 0", "avoided"]);
});

Deno.test("Participant goes upstream in the middle when it is told to", async () => {
  const bed = new Bed(["near"]);
  bed.answers = { near: FOLLOW };
  const source = (await bed.join())!;
  await source.next();
  source.progressed(100);
  bed.answers = { near: { do: "fetch" } };
  assert.equal(await source.next(), undefined);
  source.close(false);
  assert.equal(bed.participant.state(KEY), "fetching");
  assert.equal(await bed.join(100), undefined, "and its containerd as well, at once");
  assert.deepEqual(bed.events, ["waited 0", "fetching"]);
});

Deno.test("Participant waits for the first byte and for further ones within bounds", async () => {
  const bed = new Bed(["near"]);
  bed.answers = { near: FOLLOW };
  const source = (await bed.join())!;
  await source.next();
  assert.equal(source.patienceMs(), FIRST_BYTE_MS);
  await bed.clock.advance(FIRST_BYTE_MS - 1);
  assert.equal(source.patienceMs(), 1);
  source.progressed(1);
  assert.equal(source.patienceMs(), IDLE_MS);
  await bed.clock.advance(IDLE_MS);
  assert.equal(await source.next(), undefined);
  assert.deepEqual(bed.events.slice(1), ["abandoned", "fetching"]);
  source.close(false);
  source.close(false);
  assert.equal(bed.events.length, 3);
});

Deno.test("Participant waits longer for what waits in the queue of the node that fetches it", async () => {
  const bed = new Bed(["near"]);
  bed.answers = { near: FOLLOW };
  const source = (await bed.join())!;
  await source.next();
  bed.answers = { near: { do: "go on", queued: [KEY] } };
  await running(bed, async () => {
    while (bed.clock.now() < QUEUED_MS) {
      await bed.clock.advance(REPORT_MS);
      assert(bed.participant.isQueued(KEY));
      assert(source.patienceMs() > 0);
    }
    // However long it is said to: as long again as for others.
    await bed.clock.advance(FIRST_BYTE_MS + REPORT_MS);
    assert(source.patienceMs() <= 0);
  });
});

Deno.test("Participant tells that what it is to fetch waits behind others, as long as these grow", async () => {
  const bed = new Bed(["near"]);
  bed.answers = { near: { do: "fetch" } };
  await bed.join();
  const others = ["b", "c", "d"].map((letter) => `sha256:${letter.repeat(64)}`);
  const grow = (offset: number, keys = others) => {
    const queued = { key: KEY, offset: 0, total: 10 };
    bed.downloads = [queued, ...keys.map((key) => ({ key, offset, total: 100 }))];
  };
  const latest = () => bed.reported.filter(({ key }) => key === KEY).at(-1);
  await running(bed, async () => {
    for (let offset = 1; offset < 6; offset++) {
      grow(offset);
      await bed.clock.advance(REPORT_MS);
    }
    assert.equal(latest()?.state, "fetching");
    assert.equal(latest()?.isQueued, true);
    assert(bed.participant.isQueued(KEY));
    // With two others it has a place, and should have begun.
    for (let offset = 6; offset < 11; offset++) {
      grow(offset, others.slice(1));
      await bed.clock.advance(REPORT_MS);
    }
    assert.equal(latest()?.state, "failed");
    assert.equal(latest()?.isQueued, undefined);
  });
});

Deno.test("Participant leaves further contents to the node that it follows, where containerd queues", async () => {
  const bed = new Bed(["near"]);
  const { signal } = new AbortController();
  const told = async (answer: Instruction, isQueueing: boolean) => {
    bed.answers = { near: answer };
    const source = await bed.participant.join(KEY, 0, signal, isQueueing);
    source?.close(true);
    return bed.asked.at(-1)!.question["isLed"];
  };
  assert.equal(await told(FOLLOW, true), undefined);
  assert.equal(await told(FOLLOW, false), undefined);
  assert.equal(await told({ do: "fetch" }, true), true);

  const late = new Bed(["near"]);
  late.answers = { near: FOLLOW };
  (await late.participant.join(KEY, 0, signal, true))?.close(true);
  await late.clock.advance(LED_MS);
  await late.participant.join(KEY, 0, signal, true);
  assert.equal(late.asked.at(-1)!.question["isLed"], undefined);
});

Deno.test("Participant tries no more parents than it may", async () => {
  const bed = new Bed(["near"]);
  bed.answers = { near: FOLLOW };
  const source = (await bed.join())!;
  let parents = 0;
  while (await source.next() !== undefined) parents += 1;
  assert.equal(parents, MAX_PARENTS);
});

Deno.test("Participant reports how its downloads stand, until they are done", async () => {
  const bed = new Bed(["near"]);
  bed.answers = { near: { do: "fetch" } };
  await bed.join();
  await running(bed, async () => {
    bed.downloads = [{ key: KEY, offset: 5, total: 10 }];
    await bed.clock.advance(REPORT_MS);
    bed.downloads = [{ key: KEY, offset: 9, total: 10 }];
    await bed.clock.advance(REPORT_MS);
    bed.downloads = [];
    bed.has = true;
    await bed.clock.advance(REPORT_MS);
  });
  const seen = bed.reported.map(({ state, offset }) => `${state} ${offset}`);
  assert.deepEqual(seen, ["fetching 0", "fetching 5", "fetching 9", "done 9"]);
  assert.equal(bed.participant.size, 0);
});

Deno.test("Participant reports a fetch that failed, and tells those who wait for it here", async () => {
  for (const aborted of [true, false]) {
    const bed = new Bed(["near"]);
    bed.answers = { near: { do: "fetch" } };
    await bed.join();
    await running(bed, async () => {
      bed.downloads = [{ key: KEY, offset: 0, total: 10 }];
      await bed.clock.advance(REPORT_MS);
      // Gone, or without a byte for too long.
      if (aborted) bed.downloads = [];
      await bed.clock.advance(FETCH_START_MS);
      assert.equal(bed.participant.state(KEY), "failed");
      await bed.clock.advance(60_000);
    });
    assert.equal(bed.reported.filter(({ state }) => state === "failed").length, 1);
    assert.equal(bed.participant.size, 0);
  }
});

Deno.test("Participant takes its fetches for failed when containerd is away", async () => {
  const bed = new Bed(["near"]);
  bed.answers = { near: { do: "fetch" } };
  await bed.join();
  await running(bed, async () => {
    bed.isAway = true;
    await bed.clock.advance(FETCH_START_MS + REPORT_MS);
    assert.equal(bed.participant.state(KEY), "failed");
  });
});

Deno.test("Participant reports downloads that it was not asked for, if they grow", async () => {
  const bed = new Bed(["near"]);
  bed.answers = { near: { do: "go on" } };
  await running(bed, async () => {
    bed.downloads = [{ key: KEY, offset: 5, total: 10 }];
    bed.participant.wake();
    await bed.clock.advance(10 * REPORT_MS);
    assert.deepEqual(bed.reported, [], "left behind by a containerd that was killed");
    bed.downloads = [{ key: KEY, offset: 6, total: 10 }];
    bed.participant.wake();
    await bed.clock.advance(REPORT_MS);
  });
  assert.deepEqual(bed.reported[0], { key: KEY, state: "fetching", offset: 6, total: 10 });
});

Deno.test("Participant asks a coordinator who is getting a content, and leaves itself out", async () => {
  const bed = new Bed(["near", "next"]);
  const download = (id: string) => {
    const peer = { id, addresses: ["10.0.0.1"], registryPort: 5000 };
    return { peer, state: "fetching", offset: 3, total: 10 };
  };
  bed.answers = { near: { downloads: [download("self"), download("other")] } };
  const found = await bed.participant.look(KEY, new AbortController().signal);
  assert.deepEqual(found, [download("other")]);
  assert.deepEqual(bed.asked, [{ id: "near", question: { type: "look", key: KEY } }]);
});

Deno.test("Participant that looks turns to the next coordinator when one answers nonsense, then gives up", async () => {
  const bed = new Bed(["near", "next"]);
  bed.answers = { near: { downloads: "none" }, next: new Error("gone") };
  assert.deepEqual(await bed.participant.look(KEY, new AbortController().signal), []);
  assert.deepEqual(bed.asked.map(({ id }) => id), ["near", "next"]);
});

Deno.test("Participant tells who asks what it knows of a content, and nothing about its wishes changes by that", async () => {
  const bed = new Bed(["near"]);
  await bed.participant.serve();
  const from = { id: "near", addresses: ["10.0.0.2"], registryPort: 5000 };
  const entries = [{ key: KEY, state: "fetching", offset: 4, total: 9 }];
  await bed.answer!(from, { type: "report", entries });
  const told = await bed.answer!(from, { type: "look", key: KEY });
  assert.deepEqual(told, { downloads: [{ peer: from, state: "fetching", offset: 4, total: 9 }] });
  assert.equal(bed.participant.role(KEY), undefined);
});
