import assert from "node:assert/strict";
import { ConfigError } from "../../../../lib/errors.ts";
import { StaticBootstrapper, toMultiaddr } from "../../../../lib/routing/bootstrap/static.ts";
import { makePeerId } from "../../support/peer_ids.ts";

Deno.test("toMultiaddr() takes addresses as operators write them", async () => {
  const id = await makePeerId(1);
  const cases: [string, string][] = [
    ["10.0.0.7", "/ip4/10.0.0.7"],
    ["10.0.0.7:5001", "/ip4/10.0.0.7/tcp/5001"],
    ["fd00::7", "/ip6/fd00::7"],
    ["[fd00::7]", "/ip6/fd00::7"],
    ["[fd00::7]:5001", "/ip6/fd00::7/tcp/5001"],
    ["node-1.cluster.local", "/dns/node-1.cluster.local"],
    ["node-1:65535", "/dns/node-1/tcp/65535"],
    ["/ip4/10.0.0.7/tcp/5001", "/ip4/10.0.0.7/tcp/5001"],
    [`/ip4/10.0.0.7/tcp/5001/p2p/${id}`, `/ip4/10.0.0.7/tcp/5001/p2p/${id}`],
    ["/ip4/10.0.0.7/tcp/80/ws", "/ip4/10.0.0.7/tcp/80/ws"],
    ["/dns4/node-1/tcp/5001", "/dns4/node-1/tcp/5001"],
  ];
  for (const [text, address] of cases) assert.equal(toMultiaddr(text), address);
});

Deno.test("toMultiaddr() refuses what is no address, and says which", () => {
  const cases = [
    "",
    ":5001",
    "10.0.0.7:",
    "10.0.0.7:0",
    "10.0.0.7:65536",
    "10.0.0.7:http",
    "[10.0.0.7]:5001",
    "[node-1]:5001",
    "[fd00::7",
    "-node",
    "node_1/x",
    "http://node-1:5001",
    "/ip4/10.0.0",
    "/nonsense/1",
    "/",
    "/tcp/5001",
    "/unix/socket",
  ];
  for (const text of cases) {
    assert.throws(
      () => toMultiaddr(text),
      (error: Error) =>
        error instanceof ConfigError && error.message.includes(JSON.stringify(text)),
      text,
    );
  }
});

Deno.test("StaticBootstrapper yields its list, trimmed, and runs until it is stopped", async () => {
  const bootstrapper = new StaticBootstrapper([" 10.0.0.7 ", "node-1:1"]);
  const abort = new AbortController();
  const running = bootstrapper.run({ self: () => [], signal: abort.signal });
  assert.deepEqual(await bootstrapper.peers(abort.signal), ["/ip4/10.0.0.7", "/dns/node-1/tcp/1"]);
  abort.abort();
  await running;
});

Deno.test("StaticBootstrapper refuses a list with an entry that is no address", () => {
  assert.throws(() => new StaticBootstrapper(["10.0.0.7", "http://x"]), ConfigError);
});
