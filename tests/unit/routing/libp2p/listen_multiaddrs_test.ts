import assert from "node:assert/strict";
import { ConfigError } from "../../../../lib/errors.ts";
import { listenMultiaddrs } from "../../../../lib/routing/libp2p/listen_multiaddrs.ts";

Deno.test("listenMultiaddrs() without a host listens on both families where there are both", () => {
  const address = { host: undefined, port: 5001 };
  assert.deepEqual(listenMultiaddrs(address, "", true), [
    "/ip4/0.0.0.0/tcp/5001",
    "/ip6/::/tcp/5001",
  ]);
  assert.deepEqual(listenMultiaddrs(address, "", false), ["/ip4/0.0.0.0/tcp/5001"]);
});

Deno.test("listenMultiaddrs() takes the host as it is", () => {
  assert.deepEqual(listenMultiaddrs({ host: "10.0.0.7", port: 1 }), ["/ip4/10.0.0.7/tcp/1"]);
  assert.deepEqual(listenMultiaddrs({ host: "fd00::7", port: 1 }), ["/ip6/fd00::7/tcp/1"]);
});

Deno.test("listenMultiaddrs() puts the suffix behind the port", () => {
  assert.deepEqual(listenMultiaddrs({ host: "::1", port: 80 }, "/ws"), ["/ip6/::1/tcp/80/ws"]);
  assert.deepEqual(listenMultiaddrs({ host: undefined, port: 80 }, "/ws", false), [
    "/ip4/0.0.0.0/tcp/80/ws",
  ]);
});

Deno.test("listenMultiaddrs() refuses a host name", () => {
  assert.throws(
    () => listenMultiaddrs({ host: "localhost", port: 5001 }),
    (error: Error) => error instanceof ConfigError && error.message.includes('"localhost"'),
  );
});
