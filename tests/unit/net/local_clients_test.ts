import assert from "node:assert/strict";
import {
  ADDRESSES_TTL_MS,
  type ClientRule,
  gatewayOf,
  LocalClients,
  parseClientRule,
} from "../../../lib/net/local_clients.ts";

function clients(rules: readonly string[], own: string[] = []) {
  let now = 0;
  const list = new LocalClients(rules.map((text) => parseClientRule(text) as ClientRule), {
    own: () => own.map((cidr) => ({ address: cidr.split("/")[0]!, cidr })),
    now: () => now,
  });
  return { list, advance: (ms: number) => void (now += ms) };
}

Deno.test("LocalClients knows loopback and the machine's own addresses, of both families", () => {
  const { list } = clients([], ["10.0.0.7", "fd00::7", "fe80::7%eth0", "not"]);
  const local = [
    "127.0.0.1",
    "127.8.9.1",
    "::1",
    "10.0.0.7",
    "::ffff:10.0.0.7",
    "fd00::7",
    "fe80::7%eth0",
  ];
  for (const ip of local) assert.equal(list.has(ip), true, ip);
  const foreign = ["10.0.0.8", "::ffff:10.0.0.8", "fd00::8", "10.0.0.1", "", "localhost", "::"];
  for (const ip of foreign) assert.equal(list.has(ip), false, ip);
});

Deno.test("LocalClients takes further addresses, subnets and the gateway", () => {
  const rules = ["10.1.0.0/16", "192.0.2.5", "fd01::/64", "gateway"];
  const { list } = clients(rules, ["10.0.0.7/24", "fd00::7/64"]);
  const local = ["10.1.2.3", "192.0.2.5", "fd01::abcd", "10.0.0.1", "fd00::1"];
  for (const ip of local) assert.equal(list.has(ip), true, ip);
  for (const ip of ["10.2.0.1", "192.0.2.6", "fd01:0:0:1::1"]) {
    assert.equal(list.has(ip), false, ip);
  }
});

Deno.test("LocalClients notices that the machine's addresses change", () => {
  const own = ["10.0.0.7"];
  const { list, advance } = clients([], own);
  assert.equal(list.has("10.0.0.7"), true);
  own[0] = "10.0.0.8";
  advance(ADDRESSES_TTL_MS);
  assert.equal(list.has("10.0.0.7"), false);
  assert.equal(list.has("10.0.0.8"), true);
});

Deno.test("LocalClients finds the addresses of a real machine", () => {
  const list = new LocalClients([{ kind: "gateway" }]);
  for (const { address } of Deno.networkInterfaces()) assert.equal(list.has(address), true);
  assert.equal(list.has("203.0.113.9"), false);
});

Deno.test("parseClientRule() reads addresses and subnets and nothing else", () => {
  assert.deepEqual(parseClientRule("10.0.0.1"), {
    kind: "subnet",
    address: "10.0.0.1",
    prefix: 32,
  });
  assert.deepEqual(parseClientRule("fd00::/8"), { kind: "subnet", address: "fd00::", prefix: 8 });
  assert.deepEqual(parseClientRule("gateway"), { kind: "gateway" });
  const bad = ["", "10.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/", "node", "10.0.0.0/8/8"];
  for (const text of bad) assert.equal(parseClientRule(text), undefined, text);
});

Deno.test("gatewayOf() is the first address of a network, if it has one", () => {
  const cases = {
    "10.244.1.17/24": "10.244.1.1",
    "10.244.17.200/20": "10.244.16.1",
    "192.168.0.130/25": "192.168.0.129",
    "fd00:10:244:1::5/64": "fd00:0010:0244:0001:0000:0000:0000:0001",
    "::ffff:10.0.0.7/120": "0000:0000:0000:0000:0000:ffff:0a00:0001",
    "10.0.0.7/32": undefined,
    "fd00::7/128": undefined,
    "10.0.0.7": undefined,
    "node/24": undefined,
  };
  for (const [cidr, first] of Object.entries(cases)) assert.equal(gatewayOf(cidr), first, cidr);
  assert.equal(gatewayOf(null), undefined);
});
