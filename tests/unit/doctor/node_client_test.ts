import assert from "node:assert/strict";
import { askHttp } from "../../../lib/doctor/http_asker.ts";
import { NodeClient, urlOf } from "../../../lib/doctor/node_client.ts";
import { formatStatus } from "../../../lib/doctor/status_screen.ts";
import { aligned, formatBytes, formatDuration } from "../../../lib/doctor/text.ts";
import { UnavailableError } from "../../../lib/errors.ts";
import { send, startRawServer } from "../support/raw_server.ts";
import { freePort } from "../support/free_port.ts";
import { startDoctorNode } from "./doctor_node.ts";

Deno.test("urlOf() reaches what listens on all addresses over loopback", () => {
  assert.equal(urlOf({ host: undefined, port: 1 }), "http://127.0.0.1:1");
  assert.equal(urlOf({ host: "0.0.0.0", port: 1 }), "http://127.0.0.1:1");
  assert.equal(urlOf({ host: "::", port: 1 }), "http://[::1]:1");
  assert.equal(urlOf({ host: "10.0.0.7", port: 1 }), "http://10.0.0.7:1");
});

Deno.test("askHttp() says in a few words who does not answer", async () => {
  const port = freePort();
  await assert.rejects(askHttp(`http://127.0.0.1:${port}/readyz`), (error: Error) => {
    assert.ok(error instanceof UnavailableError);
    assert.match(error.message, new RegExp(`^127\\.0\\.0\\.1:${port} does not answer: .*refused`));
    return true;
  });
});

Deno.test("NodeClient.state() is not taken in by another program on the port", async () => {
  for (const body of ["hello", "null", "[]", '{"id": 1}', '{"id": "a", "peers": []}']) {
    await using server = startRawServer((_request, connection) =>
      send(connection, `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    );
    const address = { host: "127.0.0.1", port: server.port };
    const client = new NodeClient({ registry: address, metrics: address }, askHttp);
    const state = await client.state();
    assert.equal(state.kind, "silent");
    assert.match(state.reason, /no Kagami/);
  }
});

Deno.test("NodeClient tells a mirror without debug endpoints from none", async () => {
  await using node = await startDoctorNode({ hasDebug: false });
  assert.deepEqual(await node.client.state(), { kind: "untold" });
  await assert.rejects(node.client.locate("docker.io/a:1"), UnavailableError);
});

Deno.test("formatStatus() fits peers, lost ones and limits on one screen", async () => {
  await using node = await startDoctorNode({ id: "self" });
  const state = await node.client.state();
  assert.equal(state.kind, "told");
  const peers = Array.from({ length: 40 }, (_, index) => ({
    id: `peer-${index}`,
    addresses: [`10.0.0.${index}`],
    registryPort: 5000,
    ...(index % 2 === 0 ? { zone: "a", version: "1.0.0" } : {}),
  }));
  const lost = [{ id: "gone", addresses: ["fd99::1"], agoMs: 61_000 }];
  const text = formatStatus({
    ...state.status,
    zone: "a",
    uptimeSeconds: 3725,
    peers,
    lost,
    links: { connections: 41, streams: 7 },
    downloads: { active: 3, most: 0, bytesPerSecond: 100_000_000 },
  });
  const lines = text.split("\n");
  assert.ok(lines.length < 40, "one screen");
  assert.equal(lines[0], "Kagami     1.2.3, up 1 h 2 min, zone a");
  assert.match(text, /^links {6}41 connections with 7 streams$/m);
  assert.match(text, /^uploads {4}1 of 64$/m);
  assert.match(text, /^downloads {2}3, at most 100\.0 MB\/s$/m);
  assert.match(text, /^announced {2}nothing yet$/m);
  assert.match(text, /^40 peers, 16 of them:$/m);
  assert.match(text, /^ {2}10\.0\.0\.0:5000 +Kagami 1\.0\.0 +zone a +peer-0$/m);
  assert.match(text, /^ {2}10\.0\.0\.1:5000 +no version told +peer-1$/m);
  assert.match(text, /^1 lost\n {2}fd99::1 {2}lost 1 min 1 s ago {2}gone$/m);
});

Deno.test("aligned(), formatBytes() and formatDuration() write for people", () => {
  assert.deepEqual(aligned([["a", "b", "c"], ["long", "", "d"]]), ["a     b  c", "long     d"]);
  assert.deepEqual(
    [0, 999, 1000, 999_949, 999_950, 5e12].map(formatBytes),
    ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "5.0 TB"],
  );
  assert.deepEqual(
    [0, 59.9, 60, 3725, 90_000].map(formatDuration),
    ["0 s", "59 s", "1 min 0 s", "1 h 2 min", "1 d 1 h"],
  );
});
