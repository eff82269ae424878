import assert from "node:assert/strict";
import {
  AccessProofs,
  MAX_CHECKS,
  MAX_PROOFS,
  UNREACHABLE_TTL_MS,
} from "../../../lib/access/proofs.ts";
import type { AccessQuestion, UpstreamAnswer } from "../../../lib/access/upstream_client.ts";

const CHALLENGE = 'Bearer realm="https://tokens.test"';

/** Proofs, with a registry that answers as a test says. */
class Fixture {
  now = 0;
  readonly asked: AccessQuestion[] = [];
  readonly results: string[] = [];
  answer: (question: AccessQuestion) => UpstreamAnswer | Promise<UpstreamAnswer>;
  readonly proofs = new AccessProofs({
    ask: async (question) => {
      this.asked.push(question);
      return await this.answer(question);
    },
    ttlMs: 1000,
    onVerdict: ({ result }) => this.results.push(result),
    now: () => this.now,
  });

  constructor(answer: (question: AccessQuestion) => UpstreamAnswer | Promise<UpstreamAnswer>) {
    this.answer = answer;
  }

  prove(authorization?: string, repository = "team/app", registry = "registry.test") {
    return this.proofs.prove({ registry, repository, path: "manifests/v1", authorization });
  }
}

Deno.test("AccessProofs believes a registry for a while, and asks again after it", async () => {
  const fixture = new Fixture(() => ({ result: "granted" }));
  for (let at = 0; at < 3; at++) assert.deepEqual(await fixture.prove("a"), { result: "granted" });
  assert.equal(fixture.asked.length, 1);
  fixture.now = 1000;
  fixture.answer = () => ({ result: "refused" });
  assert.deepEqual(await fixture.prove("a"), { result: "refused" });
  assert.deepEqual(await fixture.prove("a"), { result: "refused" }, "a refusal is not believed");
  assert.equal(fixture.asked.length, 3);
  assert.deepEqual(fixture.results, ["granted", "granted", "granted", "refused", "refused"]);
});

Deno.test("AccessProofs takes a proof for one registry, repository and header alone", async () => {
  const fixture = new Fixture(() => ({ result: "granted" }));
  await fixture.prove("a");
  fixture.answer = () => ({ result: "refused" });
  for (
    const [header, repository, registry] of [
      ["b", "team/app", "registry.test"],
      [undefined, "team/app", "registry.test"],
      ["a", "team/other", "registry.test"],
      ["a", "team/app", "other.test"],
    ] as const
  ) {
    assert.deepEqual(await fixture.prove(header, repository, registry), { result: "refused" });
  }
});

Deno.test("AccessProofs passes a challenge on, to who sent credentials as a refusal", async () => {
  const fixture = new Fixture(() => ({ result: "refused", challenge: CHALLENGE }));
  assert.deepEqual(await fixture.prove(), { result: "challenged", challenge: CHALLENGE });
  assert.deepEqual(await fixture.prove("a"), { result: "refused", challenge: CHALLENGE });
});

Deno.test("AccessProofs leaves a registry alone that could not be reached, for a while", async () => {
  const fixture = new Fixture(() => ({ result: "unreachable" }));
  for (const header of ["a", "b"]) {
    assert.deepEqual(await fixture.prove(header), { result: "unreachable" });
  }
  assert.equal(fixture.asked.length, 1);
  await fixture.prove("a", "team/app", "other.test");
  assert.equal(fixture.asked.length, 2, "others are asked");
  fixture.now = UNREACHABLE_TTL_MS;
  fixture.answer = () => ({ result: "granted" });
  assert.deepEqual(await fixture.prove("a"), { result: "granted" });
});

Deno.test("AccessProofs asks once for all who want to know the same at the same time", async () => {
  const { promise, resolve } = Promise.withResolvers<UpstreamAnswer>();
  const fixture = new Fixture(() => promise);
  const verdicts = [fixture.prove("a"), fixture.prove("a"), fixture.prove("a")];
  resolve({ result: "granted" });
  for (const verdict of verdicts) assert.deepEqual(await verdict, { result: "granted" });
  assert.equal(fixture.asked.length, 1);
});

Deno.test("AccessProofs asks no more questions at a time than it may", async () => {
  const { promise, resolve } = Promise.withResolvers<UpstreamAnswer>();
  const fixture = new Fixture(() => promise);
  const verdicts = Array.from({ length: MAX_CHECKS }, (_, index) => fixture.prove(`${index}`));
  assert.deepEqual(await fixture.prove("one more"), { result: "busy" });
  resolve({ result: "granted" });
  await Promise.all(verdicts);
  assert.deepEqual(await fixture.prove("one more"), { result: "granted" });
});

Deno.test("AccessProofs remembers a bounded number of proofs, and no header", async () => {
  const fixture = new Fixture(() => ({ result: "granted" }));
  const count = 10_000;
  for (let index = 0; index < count; index++) await fixture.prove(`secret ${index}`);
  assert.equal(fixture.asked.length, count);
  // The last ones are known, the first ones are forgotten.
  fixture.asked.length = 0;
  for (let index = count - MAX_PROOFS; index < count; index++) {
    await fixture.prove(`secret ${index}`);
  }
  assert.equal(fixture.asked.length, 0);
  await fixture.prove("secret 0");
  assert.equal(fixture.asked.length, 1);
  const shown = Deno.inspect(fixture.proofs, {
    depth: 10,
    iterableLimit: Infinity,
    showHidden: true,
  });
  assert.ok(!shown.includes("secret"), "no header is in it");
});
