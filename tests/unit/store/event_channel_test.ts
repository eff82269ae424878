import assert from "node:assert/strict";
import { EventChannel, MAX_WAITING_EVENTS } from "../../../lib/store/event_channel.ts";
import type { StoreEvent } from "../../../lib/store/store.ts";
import { eventually } from "../support/eventually.ts";

function changed(reference: string): StoreEvent {
  return { type: "changed", reference };
}

/** Collects what a channel yields. */
function collect(channel: EventChannel): {
  events: StoreEvent[];
  abort: AbortController;
  ended: Promise<void>;
} {
  const events: StoreEvent[] = [];
  const abort = new AbortController();
  const ended = (async () => {
    for await (const event of channel.events(abort.signal)) events.push(event);
  })();
  return { events, abort, ended };
}

Deno.test("EventChannel yields events in their order, those before the watcher came, too", async () => {
  const channel = new EventChannel();
  channel.push({ type: "reset" });
  channel.push(changed("a"));
  const { events, abort, ended } = collect(channel);
  await eventually("both have come", () => events.length === 2);
  channel.push(changed("b"));
  await eventually("the third has come", () => events.length === 3);
  assert.deepEqual(events, [{ type: "reset" }, changed("a"), changed("b")]);
  abort.abort();
  await ended;
});

Deno.test("EventChannel loses nothing that comes while the watcher is busy", async () => {
  const channel = new EventChannel();
  const abort = new AbortController();
  const seen: string[] = [];
  channel.push(changed("0"));
  for await (const event of channel.events(abort.signal)) {
    assert.ok(event.type === "changed");
    seen.push(event.reference ?? "");
    if (seen.length < 50) {
      channel.push(changed(String(seen.length)));
      await Promise.resolve();
    } else abort.abort();
  }
  assert.deepEqual(seen, Array.from({ length: 50 }, (_, index) => String(index)));
});

Deno.test("EventChannel ends when it is aborted: before, while it waits, and with events left", async () => {
  for (const state of ["before", "waiting", "events left"]) {
    const channel = new EventChannel();
    const abort = new AbortController();
    if (state === "before") abort.abort();
    if (state === "events left") { for (const name of ["a", "b"]) channel.push(changed(name)); }
    const seen: StoreEvent[] = [];
    const ended = (async () => {
      for await (const event of channel.events(abort.signal)) {
        seen.push(event);
        abort.abort();
      }
    })();
    if (state === "waiting") {
      await Promise.resolve();
      abort.abort();
    }
    await ended;
    assert.equal(seen.length, state === "events left" ? 1 : 0, state);
  }
});

Deno.test("EventChannel can be watched again after an end", async () => {
  const channel = new EventChannel();
  const first = collect(channel);
  first.abort.abort();
  await first.ended;
  channel.push(changed("a"));
  const second = collect(channel);
  await eventually("it has come", () => second.events.length === 1);
  second.abort.abort();
  await second.ended;
});

Deno.test("EventChannel replaces more events than it holds by one reset", async () => {
  const channel = new EventChannel();
  for (let index = 0; index < MAX_WAITING_EVENTS; index++) channel.push(changed(String(index)));
  channel.push(changed("one too many"));
  channel.push(changed("later"));
  const { events, abort, ended } = collect(channel);
  await eventually("all have come", () => events.length === 2);
  assert.deepEqual(events, [{ type: "reset" }, changed("later")]);
  abort.abort();
  await ended;
});

Deno.test("EventChannel holds as many events as it says", async () => {
  const channel = new EventChannel();
  for (let index = 0; index < MAX_WAITING_EVENTS; index++) channel.push(changed(String(index)));
  const { events, abort, ended } = collect(channel);
  await eventually("all have come", () => events.length === MAX_WAITING_EVENTS);
  assert.ok(events.every(({ type }) => type === "changed"));
  abort.abort();
  await ended;
});
