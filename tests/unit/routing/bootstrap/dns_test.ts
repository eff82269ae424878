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

Deno.test("DnsBootstrapper yields a bounded number, half of them the same for every node", async () => {
  const addresses = Array.from({ length: 50 }, (_, index) => `10.0.0.${index + 1}`);
  const answers = [addresses, addresses.toReversed()];
  const resolve = () => Promise.resolve(answers.shift()!);
  const first = await new DnsBootstrapper("kagami.svc", resolve, () => 0).peers(NEVER);
  const second = await new DnsBootstrapper("kagami.svc", resolve, () => 0.999).peers(NEVER);
  assert.equal(new Set(first).size, MAX_BOOTSTRAP_ADDRESSES);
  assert.equal(new Set(second).size, MAX_BOOTSTRAP_ADDRESSES);
  const common = first.filter((address) => second.includes(address));
  assert.deepEqual(common, first.slice(0, MAX_BOOTSTRAP_ADDRESSES / 2));
});

Deno.test("DnsBootstrapper comes to every address in the end, also where the first ones are dead", async () => {
  const addresses = Array.from({ length: 50 }, (_, index) => `10.0.0.${index + 1}`);
  const bootstrapper = new DnsBootstrapper("kagami.svc", () => Promise.resolve(addresses));
  const told = new Set<string>();
  // The chance that one of 50 is not drawn in 1000 times is below one in 10^35.
  for (let i = 0; i < 1000; i++) {
    for (const address of await bootstrapper.peers(NEVER)) told.add(address);
  }
  assert.equal(told.size, 50);
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
