import assert from "node:assert/strict";
import { UnavailableError } from "../../../../lib/errors.ts";
import {
  ADDRESSES_ANNOTATION,
  createLeaseClient,
  type NewLeaseRecord,
} from "../../../../lib/routing/bootstrap/lease_client.ts";
import { eventually } from "../../support/eventually.ts";
import { type FakeApiServer, startFakeApiServer } from "../../support/fake_api_server.ts";
import { freePort } from "../../support/free_port.ts";

const NEVER = new AbortController().signal;
const NAME = "kagami-bootstrap";
const RECORD: NewLeaseRecord = {
  holder: "leader",
  addresses: ["/ip4/10.0.0.1/tcp/5001", "/ip6/fd00::1/tcp/5001"],
  durationSeconds: 30,
  transitions: 2,
};

/** A client of the server, in the namespace `mirrors`. */
function clientOf({ server, credentials }: FakeApiServer) {
  return createLeaseClient({ name: NAME, server, credentials });
}

Deno.test("a Lease that is not there is read as none", async () => {
  await using server = await startFakeApiServer();
  using client = clientOf(server);
  assert.equal(await client.read(NEVER), undefined);
  assert.deepEqual(server.requests.map(({ method, path }) => `${method} ${path}`), [
    `GET /apis/coordination.k8s.io/v1/namespaces/mirrors/leases/${NAME}`,
  ]);
});

Deno.test("a record is created, read and replaced", async () => {
  await using server = await startFakeApiServer();
  using client = clientOf(server);
  const created = await client.write(RECORD, undefined, NEVER);
  assert.deepEqual(created, { ...RECORD, version: created!.version });
  assert.deepEqual(await client.read(NEVER), created);
  const lease = server.leases.get(`mirrors/${NAME}`)!;
  assert.equal(lease.metadata.annotations![ADDRESSES_ANNOTATION], RECORD.addresses.join(","));
  assert.equal(lease.spec.holderIdentity, "leader");
  assert.match(lease.spec.renewTime!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, "microseconds");
  const replaced = await client.write({ ...RECORD, holder: "" }, created!.version, NEVER);
  assert.equal(replaced!.holder, "");
  assert.notEqual(replaced!.version, created!.version);
});

Deno.test("a write that comes too late is refused without an error", async () => {
  await using server = await startFakeApiServer();
  using client = clientOf(server);
  const { version } = (await client.write(RECORD, undefined, NEVER))!;
  assert.equal(await client.write(RECORD, undefined, NEVER), undefined, "it exists");
  await client.write(RECORD, version, NEVER);
  assert.equal(await client.write(RECORD, version, NEVER), undefined, "it was replaced");
  server.leases.clear();
  assert.equal(await client.write(RECORD, version, NEVER), undefined, "it was deleted");
});

Deno.test("a Lease that somebody else has made is read as far as it goes", async () => {
  await using server = await startFakeApiServer();
  server.leases.set(`mirrors/${NAME}`, {
    metadata: { name: NAME, resourceVersion: "7" },
    spec: {},
  });
  using client = clientOf(server);
  assert.deepEqual(await client.read(NEVER), {
    holder: "",
    addresses: [],
    durationSeconds: 0,
    transitions: 0,
    version: "7",
  });
});

Deno.test("a refusal is told in one line, the same one each time", async () => {
  await using server = await startFakeApiServer();
  using client = clientOf(server);
  const messages = new Set<string>();
  server.fault = 403;
  for (let i = 0; i < 2; i++) {
    for (const asked of [() => client.read(NEVER), () => client.write(RECORD, undefined, NEVER)]) {
      await assert.rejects(asked(), (error: Error) => {
        messages.add(error.message);
        return error instanceof UnavailableError;
      });
    }
  }
  assert.deepEqual([...messages], ["the Kubernetes API answers 403: it answers 403"]);
  server.fault = 404;
  await assert.rejects(client.write(RECORD, undefined, NEVER), /answers 404/, "no such namespace");
});

Deno.test("an API server that breaks off, or is not there, is told as such", async () => {
  await using server = await startFakeApiServer();
  using client = clientOf(server);
  server.fault = "reset";
  const isNoAnswer = (error: Error) =>
    error instanceof UnavailableError &&
    /^the Kubernetes API does not answer: ./.test(error.message);
  await assert.rejects(client.read(NEVER), isNoAnswer);
  const { credentials } = server;
  const url = `https://127.0.0.1:${freePort()}`;
  using stray = createLeaseClient({ name: NAME, server: url, credentials });
  await assert.rejects(stray.read(NEVER), isNoAnswer);
});

Deno.test("a request ends with its signal", async () => {
  await using server = await startFakeApiServer();
  using client = clientOf(server);
  server.fault = "hang";
  for (
    const ask of [
      (signal: AbortSignal) => client.read(signal),
      (signal: AbortSignal) => client.write(RECORD, undefined, signal),
      (signal: AbortSignal) => client.write(RECORD, "1", signal),
    ]
  ) {
    const before = server.requests.length;
    const abort = new AbortController();
    const asking = ask(abort.signal);
    await eventually("the request is there", () => server.requests.length > before);
    abort.abort();
    await assert.rejects(asking, UnavailableError);
  }
});

Deno.test("an answer that is no Lease is told as such", async () => {
  await using server = await startFakeApiServer();
  using client = clientOf(server);
  server.fault = 200;
  await assert.rejects(client.read(NEVER), /answers something else than a Lease/);
});

Deno.test("a Lease in another namespace than the pod's is named by the options", async () => {
  await using server = await startFakeApiServer();
  const { credentials, server: url } = server;
  using client = createLeaseClient({ name: NAME, namespace: "other", server: url, credentials });
  await client.write(RECORD, undefined, NEVER);
  assert.deepEqual([...server.leases.keys()], [`other/${NAME}`]);
});
