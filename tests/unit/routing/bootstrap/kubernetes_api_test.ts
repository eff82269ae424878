import assert from "node:assert/strict";
import { UnavailableError } from "../../../../lib/errors.ts";
import { KubernetesApi } from "../../../../lib/routing/bootstrap/kubernetes_api.ts";
import { type FakeApiServer, startFakeApiServer } from "../../support/fake_api_server.ts";
import { AUTHORITY, OTHER_AUTHORITY } from "../../support/tls_certificates.ts";

const NEVER = new AbortController().signal;
const LEASES = "/apis/coordination.k8s.io/v1/namespaces/mirrors/leases";

function apiOf({ server, credentials }: FakeApiServer): KubernetesApi {
  return new KubernetesApi({ server, credentials });
}

/** Says whether an error tells that there are no credentials, and why. */
function isMissing(reason: RegExp) {
  return (error: Error) =>
    error instanceof UnavailableError &&
    error.message.startsWith("no credentials for the Kubernetes API: ") &&
    reason.test(error.message);
}

Deno.test("requests share one connection", async () => {
  await using server = await startFakeApiServer();
  using api = apiOf(server);
  for (let i = 0; i < 5; i++) {
    assert.equal((await api.request("GET", `${LEASES}/none`, NEVER)).status, 404);
  }
  assert.equal(server.requests.length, 5);
  assert.equal(server.connections, 1);
});

Deno.test("a connection that was broken is replaced", async () => {
  await using server = await startFakeApiServer();
  using api = apiOf(server);
  await api.request("GET", `${LEASES}/none`, NEVER);
  server.fault = "reset";
  await assert.rejects(api.request("GET", `${LEASES}/none`, NEVER), UnavailableError);
  server.fault = undefined;
  assert.equal((await api.request("GET", `${LEASES}/none`, NEVER)).status, 404);
});

Deno.test("a request that gets no answer leaves no connection behind that the next one waits on", async () => {
  await using server = await startFakeApiServer();
  using api = apiOf(server);
  server.fault = "hang";
  await assert.rejects(
    api.request("GET", `${LEASES}/none`, AbortSignal.timeout(100)),
    UnavailableError,
  );
  server.fault = undefined;
  assert.equal((await api.request("GET", `${LEASES}/none`, NEVER)).status, 404);
});

Deno.test("a token that kubelet has replaced is used from the next request on", async () => {
  await using server = await startFakeApiServer();
  using api = apiOf(server);
  await api.request("GET", `${LEASES}/none`, NEVER);
  await Deno.writeTextFile(`${server.credentials}/token`, "fresh\n");
  await api.request("GET", `${LEASES}/none`, NEVER);
  assert.deepEqual(server.requests.map(({ token }) => token), ["token", "fresh"]);
});

Deno.test("only a server of the pod's authority is trusted, and the authority may change", async () => {
  await using server = await startFakeApiServer();
  using api = apiOf(server);
  const file = `${server.credentials}/ca.crt`;
  await Deno.writeTextFile(file, OTHER_AUTHORITY);
  await assert.rejects(api.request("GET", LEASES, NEVER), /does not answer: .*certificate/);
  assert.deepEqual(server.requests, [], "the token has not left");
  await Deno.writeTextFile(file, AUTHORITY);
  assert.equal((await api.request("GET", `${LEASES}/none`, NEVER)).status, 404);
  await Deno.writeTextFile(file, OTHER_AUTHORITY + AUTHORITY);
  assert.equal((await api.request("GET", `${LEASES}/none`, NEVER)).status, 404);
});

Deno.test("missing credentials are told with the file that is missing", async () => {
  await using server = await startFakeApiServer();
  using api = apiOf(server);
  for (const name of ["ca.crt", "token"]) {
    await Deno.remove(`${server.credentials}/${name}`);
    await assert.rejects(
      api.request("GET", LEASES, NEVER),
      isMissing(new RegExp(`${server.credentials}/${name}: `)),
    );
  }
  await Deno.remove(`${server.credentials}/namespace`);
  await assert.rejects(api.namespace(), isMissing(/\/namespace: /));
});

Deno.test("a process outside of a pod is told so", async () => {
  await using server = await startFakeApiServer();
  const before = Deno.env.get("KUBERNETES_SERVICE_HOST");
  Deno.env.delete("KUBERNETES_SERVICE_HOST");
  try {
    using api = new KubernetesApi({ credentials: server.credentials });
    await assert.rejects(
      api.request("GET", LEASES, NEVER),
      isMissing(/KUBERNETES_SERVICE_HOST is not set/),
    );
  } finally {
    if (before !== undefined) Deno.env.set("KUBERNETES_SERVICE_HOST", before);
  }
});
