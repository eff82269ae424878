import assert from "node:assert/strict";
import { UnavailableError } from "../../../../lib/errors.ts";
import { MAX_BOOTSTRAP_ADDRESSES } from "../../../../lib/routing/bootstrap/bootstrapper.ts";
import { DnsBootstrapper } from "../../../../lib/routing/bootstrap/dns.ts";

const NEVER = new AbortController().signal;

Deno.test("DnsBootstrapper yields all addresses of both families, without a port", async () => {
  const asked: string[] = [];
  const bootstrapper = new DnsBootstrapper("kagami.svc", (name) => {
    asked.push(name);
    return Promise.resolve(["fd00::7", "10.0.0.7", "10.0.0.7"]);
  });
  assert.deepEqual(await bootstrapper.peers(NEVER), ["/ip4/10.0.0.7", "/ip6/fd00::7"]);
  assert.deepEqual(asked, ["kagami.svc"]);
});

Deno.test("DnsBootstrapper yields a bounded number, the same for every order of the answer", async () => {
  const addresses = Array.from({ length: 50 }, (_, index) => `10.0.0.${index + 1}`);
  const answers = [addresses, addresses.toReversed()];
  const bootstrapper = new DnsBootstrapper("kagami.svc", () => Promise.resolve(answers.shift()!));
  const first = await bootstrapper.peers(NEVER);
  assert.equal(first.length, MAX_BOOTSTRAP_ADDRESSES);
  assert.deepEqual(await bootstrapper.peers(NEVER), first);
});

Deno.test("DnsBootstrapper asks anew each time", async () => {
  const answers = [["10.0.0.1"], [], ["10.0.0.2"]];
  const bootstrapper = new DnsBootstrapper("kagami.svc", () => Promise.resolve(answers.shift()!));
  assert.deepEqual(await bootstrapper.peers(NEVER), ["/ip4/10.0.0.1"]);
  assert.deepEqual(await bootstrapper.peers(NEVER), []);
  assert.deepEqual(await bootstrapper.peers(NEVER), ["/ip4/10.0.0.2"]);
});

Deno.test("DnsBootstrapper asks the system's resolver", async () => {
  const addresses = await new DnsBootstrapper("localhost").peers(NEVER);
  assert(addresses.includes("/ip4/127.0.0.1") || addresses.includes("/ip6/::1"));
});

Deno.test("DnsBootstrapper names the domain that has no address", async () => {
  await assert.rejects(
    new DnsBootstrapper("no-such-name.invalid").peers(NEVER),
    (error: Error) =>
      error instanceof UnavailableError && error.message.includes("no-such-name.invalid"),
  );
});

Deno.test("DnsBootstrapper.peers() ends with its signal, though the resolver does not answer", async () => {
  const abort = new AbortController();
  const waiting = new DnsBootstrapper("localhost").peers(AbortSignal.abort());
  await assert.rejects(waiting, UnavailableError);
  const bootstrapper = new DnsBootstrapper("kagami.svc", (_, signal) => {
    const { promise, reject } = Promise.withResolvers<string[]>();
    signal.addEventListener("abort", () => reject(signal.reason));
    return promise;
  });
  const asking = bootstrapper.peers(abort.signal);
  abort.abort();
  await assert.rejects(asking, UnavailableError);
});
