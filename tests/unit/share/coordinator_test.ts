import assert from "node:assert/strict";
import type { Peer } from "../../../lib/routing/router.ts";
import {
  Coordinator,
  DONE_TTL_MS,
  FAN_OUT,
  FETCH_STALL,
  FETCH_START_MS,
  HANDOVER_MS,
  HOLD_MS,
  LED_HOLD_MS,
  MAX_BEHIND_BYTES,
  MAX_KEYS,
  MAX_PARTICIPANTS,
  PARTICIPANT_TTL_MS,
  QUEUED_MS,
} from "../../../lib/share/coordinator.ts";
import {
  type Instruction,
  MAX_TOLD_DOWNLOADS,
  type Noted,
  type Report,
  type ReportEntry,
  type ShareState,
  type Want,
} from "../../../lib/share/messages.ts";
import { FakeClock } from "../support/fake_clock.ts";

const KEY = `sha256:${"a".repeat(64)}`;

function peer(id: string): Peer {
  return { id, addresses: ["10.0.0.1"], registryPort: 5000 };
}

/** A coordinator whose time a test moves. */
class Bed {
  readonly clock = new FakeClock();
  readonly coordinator = new Coordinator({
    now: this.clock.now,
    sleep: this.clock.sleep,
    random: () => 0.5,
  });

  want(id: string, want: Partial<Want> = {}): Promise<Instruction> {
    const whole: Want = { type: "want", key: KEY, offset: 0, fetching: 0, hops: 0, ...want };
    return this.coordinator.want(peer(id), whole);
  }

  /** Asks, and lets the time pass that those who ask are held back. */
  async told(id: string, want: Partial<Want> = {}): Promise<string> {
    const asking = this.want(id, want);
    await this.clock.advance(HOLD_MS);
    return show(await asking);
  }

  report(id: string, state: ShareState, offset: number, parent?: string, total?: number): Noted {
    return this.tell(id, {
      state,
      offset,
      ...(parent === undefined ? {} : { parent }),
      ...(total === undefined ? {} : { total }),
    });
  }

  tell(id: string, entry: Omit<ReportEntry, "key">): Noted {
    const report: Report = { type: "report", entries: [{ key: KEY, ...entry }] };
    return this.coordinator.report(peer(id), report);
  }
}

function show(instruction: Instruction): string {
  return instruction.do === "follow" ? `follow ${instruction.peer.id}` : instruction.do;
}

Deno.test("Coordinator sends one of those who want the same upstream, and the others to it", async () => {
  const bed = new Bed();
  const asking = ["a", "b", "c"].map((id) => bed.want(id));
  await bed.clock.advance(HOLD_MS);
  const told = (await Promise.all(asking)).map(show);
  assert.deepEqual(told, ["fetch", "follow a", "follow a"]);
});

Deno.test("Coordinator chooses who has most of it, then who fetches least", async () => {
  const bed = new Bed();
  const asking = [
    bed.want("a", { fetching: 1 }),
    bed.want("b", { fetching: 0 }),
    bed.want("c", { fetching: 0, offset: 10 }),
  ];
  await bed.clock.advance(HOLD_MS);
  assert.deepEqual((await Promise.all(asking)).map(show), ["follow c", "follow c", "fetch"]);

  const other = `sha256:${"b".repeat(64)}`;
  const again = [
    bed.want("a", { key: other, fetching: 1 }),
    bed.want("b", { key: other, fetching: 0 }),
  ];
  await bed.clock.advance(HOLD_MS);
  assert.deepEqual((await Promise.all(again)).map(show), ["follow b", "fetch"]);
});

Deno.test("Coordinator builds a tree in which nobody has more than its share of children", async () => {
  const bed = new Bed();
  assert.equal(await bed.told("n0"), "fetch");
  const children = new Map<string, number>();
  for (let number = 1; number < 30; number++) {
    const told = await bed.told(`n${number}`);
    children.set(told, (children.get(told) ?? 0) + 1);
  }
  assert.equal(Math.max(...children.values()), FAN_OUT);
  assert.equal(children.get("follow n0"), FAN_OUT);
  assert(!children.has("fetch"));
});

Deno.test("Coordinator replaces a fetcher that gets no first byte", async () => {
  const bed = new Bed();
  assert.equal(await bed.told("a"), "fetch");
  assert.equal(await bed.told("b"), "follow a");
  await bed.clock.advance(FETCH_START_MS);
  assert.equal(await bed.told("x"), "follow a", "its reports may be late");
  bed.report("a", "fetching", 0);
  assert.equal(await bed.told("c"), "fetch");
  assert.equal(await bed.told("b"), "follow c");
});

Deno.test("Coordinator waits for a fetcher whose containerd queues, tells those who follow it, but not for ever", async () => {
  const bed = new Bed();
  await bed.told("a");
  await bed.told("b");
  await bed.told("c");
  bed.report("c", "following", 0, "b");
  const startedAt = bed.clock.now();
  const queued = { state: "fetching", offset: 0, isQueued: true } as const;
  for (let seconds = 0; bed.clock.now() - startedAt < QUEUED_MS - 1500; seconds++) {
    await bed.clock.advance(1000);
    assert.deepEqual(bed.tell("a", queued), { do: "go on" });
    // The one that follows it, and the one behind that.
    for (const [id, parent] of [["b", "a"], ["c", "b"]] as const) {
      assert.deepEqual(bed.report(id, "following", 0, parent), { do: "go on", queued: [KEY] });
    }
  }
  assert.equal(await bed.told("d"), "follow a");
  await bed.clock.advance(1500);
  bed.tell("a", queued);
  assert.deepEqual(bed.report("b", "following", 0, "a"), { do: "go on" });
  await bed.clock.advance(FETCH_START_MS);
  bed.tell("a", queued);
  assert.equal(await bed.told("e"), "fetch");
});

Deno.test("Coordinator forgets the queue when the first byte is there", async () => {
  const bed = new Bed();
  await bed.told("a");
  await bed.told("b");
  bed.tell("a", { state: "fetching", offset: 0, isQueued: true });
  bed.tell("a", { state: "fetching", offset: 1 });
  assert.deepEqual(bed.report("b", "following", 0, "a"), { do: "go on" });
});

Deno.test("Coordinator keeps a content for the one that leads, for a moment", async () => {
  const bed = new Bed();
  const led = bed.want("a", { isLed: true });
  await bed.clock.advance(LED_HOLD_MS - 2 * HOLD_MS);
  const leader = bed.want("b", { fetching: 3 });
  await bed.clock.advance(HOLD_MS);
  assert.deepEqual([show(await led), show(await leader)], ["follow b", "fetch"]);

  const alone = new Bed();
  const waiting = alone.want("a", { isLed: true });
  await alone.clock.advance(LED_HOLD_MS + HOLD_MS);
  assert.equal(show(await waiting), "fetch");
});

Deno.test("Coordinator replaces a fetcher that stalls, with the patience that its rate asks for", async () => {
  const bed = new Bed();
  await bed.told("a");
  bed.report("a", "fetching", 1);
  await bed.clock.advance(1500);
  bed.report("a", "fetching", 2);
  await bed.clock.advance(FETCH_STALL.leastMs + 500);
  bed.report("a", "fetching", 2);
  assert.equal(await bed.told("b"), "follow a", "four times its longest step are not over");
  await bed.clock.advance(1500 * FETCH_STALL.factor - FETCH_STALL.leastMs);
  bed.report("a", "fetching", 2);
  assert.equal(await bed.told("c"), "fetch");
});

Deno.test("Coordinator forgets who is not heard of, but knows for a while who has the content", async () => {
  const bed = new Bed();
  await bed.told("a");
  bed.report("a", "fetching", 1);
  await bed.clock.advance(PARTICIPANT_TTL_MS);
  assert.equal(await bed.told("b"), "fetch");
  bed.report("b", "done", 5);
  await bed.clock.advance(PARTICIPANT_TTL_MS);
  assert.equal(await bed.told("c"), "follow b");
  await bed.clock.advance(DONE_TTL_MS);
  assert.equal(await bed.told("d"), "fetch");
});

Deno.test("Coordinator lets one of those whose parent broke fetch the rest", async () => {
  const bed = new Bed();
  for (const id of ["a", "b", "c"]) await bed.told(id);
  const asking = [
    bed.want("b", { broken: "a", offset: 10 }),
    bed.want("c", { broken: "a", offset: 20 }),
  ];
  await bed.clock.advance(HOLD_MS);
  assert.deepEqual((await Promise.all(asking)).map(show), ["follow c", "fetch"]);
});

Deno.test("Coordinator that has taken over waits for the reports of those who are at it", async () => {
  for (const want of [{ lost: true }, { broken: "unknown", offset: 10 }] as const) {
    const bed = new Bed();
    const asking = [bed.want("a", want), bed.want("b", want)];
    await bed.clock.advance(HANDOVER_MS - 1);
    bed.report("c", "fetching", 20);
    await bed.clock.advance(HOLD_MS);
    assert.deepEqual((await Promise.all(asking)).map(show), ["follow c", "follow c"]);

    const alone = new Bed();
    let told: string | undefined;
    alone.want("a", want).then((instruction) => told = show(instruction));
    await alone.clock.advance(HANDOVER_MS - 1);
    assert.equal(told, undefined);
    await alone.clock.advance(HOLD_MS);
    assert.equal(told, "fetch");
  }
});

Deno.test("Coordinator holds nobody back for reports when it has decided all along", async () => {
  const bed = new Bed();
  for (const id of ["a", "b"]) await bed.told(id);
  assert.equal(await bed.told("b", { broken: "a", offset: 10 }), "fetch");
});

Deno.test("Coordinator does not hold against a parent what was before its new task", async () => {
  const bed = new Bed();
  for (const id of ["a", "b", "c"]) await bed.told(id);
  bed.report("c", "following", 0, "b");
  await bed.clock.advance(100);
  assert.equal(await bed.told("b", { broken: "a", offset: 10 }), "fetch");
  assert.equal(await bed.told("c", { broken: "b", offset: 9 }), "follow b");
});

Deno.test("Coordinator never lets a node follow one that gets its bytes from it", async () => {
  const bed = new Bed();
  // As a new coordinator learns of them, from reports alone.
  bed.report("a", "following", 10, "b");
  bed.report("b", "following", 10, "c");
  bed.report("c", "following", 10, "gone");
  assert.equal(await bed.told("c", { offset: 10 }), "fetch");
  assert.equal(await bed.told("d", { offset: 0 }), "follow c");
  bed.report("e", "following", 0, "f");
  bed.report("f", "following", 0, "e");
  const other = new Bed();
  other.report("e", "following", 0, "f");
  other.report("f", "following", 0, "e");
  assert.equal(await other.told("g"), "fetch", "a circle has no root");
});

Deno.test("Coordinator names no parent that is far behind", async () => {
  const bed = new Bed();
  await bed.told("a");
  bed.report("a", "fetching", 1);
  assert.equal(await bed.told("b", { offset: MAX_BEHIND_BYTES + 2 }), "fetch");
  bed.report("c", "done", 1);
  assert.equal(await bed.told("d", { offset: MAX_BEHIND_BYTES * 3 }), "follow c");
});

Deno.test("Coordinator prefers to send others upstream than one that has just failed", async () => {
  const bed = new Bed();
  await bed.told("a");
  bed.report("a", "failed", 0);
  const asking = [bed.want("a"), bed.want("b")];
  await bed.clock.advance(HOLD_MS);
  assert.deepEqual((await Promise.all(asking)).map(show), ["follow b", "fetch"]);
});

Deno.test("Coordinator remembers no more than it may, and sends upstream what is beyond", async () => {
  const bed = new Bed();
  const asking: Promise<Instruction>[] = [];
  for (let number = 0; number < MAX_KEYS + 10; number++) {
    const key = `sha256:${number.toString(16).padStart(64, "0")}`;
    asking.push(bed.want("a", { key }));
  }
  await bed.clock.advance(HOLD_MS);
  assert((await Promise.all(asking)).every((instruction) => instruction.do === "fetch"));
  assert.equal(bed.coordinator.size, MAX_KEYS);
  await bed.clock.advance(DONE_TTL_MS);
  await bed.told("a");
  assert.equal(bed.coordinator.size, 1);

  const crowded = new Bed();
  for (let number = 0; number < MAX_PARTICIPANTS; number++) {
    crowded.report(`n${number}`, "done", 1);
  }
  assert.equal(await crowded.told("late"), "fetch");
});

Deno.test("Coordinator tells who is getting a content, the furthest first, as long as it hears of them", async () => {
  const bed = new Bed();
  assert.deepEqual(bed.coordinator.downloads(KEY), []);
  assert.equal(await bed.told("a"), "fetch");
  bed.report("a", "fetching", 3, undefined, 9);
  bed.report("b", "following", 5, "a");
  bed.report("c", "done", 9);
  bed.report("d", "failed", 0);
  assert.deepEqual(bed.coordinator.downloads(KEY), [
    { peer: peer("b"), state: "following", offset: 5 },
    { peer: peer("a"), state: "fetching", offset: 3, total: 9 },
  ]);
  await bed.clock.advance(PARTICIPANT_TTL_MS);
  assert.deepEqual(bed.coordinator.downloads(KEY), []);
  for (let number = 0; number < MAX_TOLD_DOWNLOADS + 3; number++) {
    bed.report(`node ${number}`, "fetching", number);
  }
  const told = bed.coordinator.downloads(KEY);
  assert.equal(told.length, MAX_TOLD_DOWNLOADS);
  assert.equal(told[0]?.offset, MAX_TOLD_DOWNLOADS + 2);
});
