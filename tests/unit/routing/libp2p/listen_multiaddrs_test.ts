import assert from "node:assert/strict";
import { isIP } from "node:net";
import { ConfigError } from "../../../../lib/errors.ts";
import {
  listenMultiaddrs,
  ownAddresses,
} from "../../../../lib/routing/libp2p/listen_multiaddrs.ts";

Deno.test("listenMultiaddrs() without a host takes all of IPv4, and IPv6 addresses one by one", () => {
  const address = { host: undefined, port: 5001 };
  assert.deepEqual(listenMultiaddrs(address, "", ["fd00::7", "10.0.0.7", "fd00::8"]), [
    "/ip4/0.0.0.0/tcp/5001",
    "/ip6/fd00::7/tcp/5001",
    "/ip6/fd00::8/tcp/5001",
  ]);
  assert.deepEqual(listenMultiaddrs(address, "", ["10.0.0.7"]), ["/ip4/0.0.0.0/tcp/5001"]);
});

Deno.test("listenMultiaddrs() without a host takes all of IPv6 where there is no IPv4", () => {
  const address = { host: undefined, port: 5001 };
  assert.deepEqual(listenMultiaddrs(address, "", ["fd00::7"]), ["/ip6/::/tcp/5001"]);
  assert.deepEqual(listenMultiaddrs(address, "", []), ["/ip4/0.0.0.0/tcp/5001"]);
});

Deno.test("ownAddresses() leaves out what others cannot reach", () => {
  for (const ip of ownAddresses()) {
    assert.notEqual(isIP(ip), 0);
    assert.doesNotMatch(ip, /^(127\.|::1$|fe[89ab])/);
  }
});

Deno.test("listenMultiaddrs() takes the host as it is", () => {
  assert.deepEqual(listenMultiaddrs({ host: "10.0.0.7", port: 1 }), ["/ip4/10.0.0.7/tcp/1"]);
  assert.deepEqual(listenMultiaddrs({ host: "fd00::7", port: 1 }), ["/ip6/fd00::7/tcp/1"]);
});

Deno.test("listenMultiaddrs() puts the suffix behind the port", () => {
  assert.deepEqual(listenMultiaddrs({ host: "::1", port: 80 }, "/ws"), ["/ip6/::1/tcp/80/ws"]);
  assert.deepEqual(listenMultiaddrs({ host: undefined, port: 80 }, "/ws", ["10.0.0.7"]), [
    "/ip4/0.0.0.0/tcp/80/ws",
  ]);
});

Deno.test("listenMultiaddrs() refuses a host name", () => {
  assert.throws(
    () => listenMultiaddrs({ host: "localhost", port: 5001 }),
    (error: Error) => error instanceof ConfigError && error.message.includes('"localhost"'),
  );
});
