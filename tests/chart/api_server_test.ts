import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { MISSING_API_SERVER } from "../integration/harness/kube_api_server.ts";
import { ChartApiServer } from "./api_server.ts";
import type { Values } from "./render.ts";
import type { KubernetesObject } from "./schemas.ts";
import { REQUIRES_HELM, theHelm } from "./support.ts";
import { findSchemas } from "./tools.ts";

const NAMESPACE = {
  apiVersion: "v1",
  kind: "Namespace",
  metadata: {
    name: "kagami",
    labels: { "pod-security.kubernetes.io/warn": "restricted" },
  },
};

/** Everything that can be switched on. */
const EVERYTHING: Values = {
  basicAuthSecretName: "credentials",
  kagami: { bootstrap: { kind: "kubernetes" }, nodeZone: true },
  podMonitor: { enabled: true },
  serviceMonitor: { enabled: true },
  prometheusRule: { enabled: true },
  grafanaDashboard: { enabled: true },
  verticalPodAutoscaler: { enabled: true },
};

if (MISSING_API_SERVER.length > 0) {
  const text = `the test with an API server is skipped: ${MISSING_API_SERVER.join(", ")}\n`;
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}

async function customResources(): Promise<KubernetesObject[]> {
  const found = await findSchemas();
  if ("missing" in found) throw new Error(found.missing);
  const texts = await Promise.all(
    found.value.customResources.map((path) => Deno.readTextFile(path)),
  );
  return texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS()))
    .filter((object) => object?.kind === "CustomResourceDefinition");
}

function isTaken(status: number): boolean {
  return status >= 200 && status < 300;
}

const REQUIRES_API_SERVER = { ignore: REQUIRES_HELM.ignore || MISSING_API_SERVER.length > 0 };

Deno.test({
  ...REQUIRES_API_SERVER,
  name: "a real API server takes every object of the chart, and objects only to what is needed",
  async fn() {
    await using server = await ChartApiServer.start();
    const kubeVersion = await server.version();
    for (const object of [NAMESPACE, ...await customResources()]) {
      const { status, text } = await server.apply(object, false);
      assert(isTaken(status), `${object.metadata.name}: ${text}`);
    }
    const warnings = new Map<string, string>();
    for (const values of [{}, EVERYTHING]) {
      for (const object of await theHelm().objects(values, { kubeVersion })) {
        const name = `${object.kind}/${object.metadata.name}`;
        const answer = await server.apply(object, true);
        assert(isTaken(answer.status), `${name} with ${kubeVersion}: ${answer.text}`);
        if (answer.warnings !== "") warnings.set(name, answer.warnings);
      }
    }
    assert.deepEqual([...warnings.keys()].sort(), ["DaemonSet/kagami", "DaemonSet/kagami-cleanup"]);
    // What the policy "restricted" of Pod Security would not allow: directories of the node, root where it says why,
    // and, before Kubernetes 1.34, the host port.
    for (const text of warnings.values()) {
      const complaints = text.replace(/^.*?would violate PodSecurity [^:]*:[^:]*: /, "")
        .replaceAll(/ \([^)]*\)/g, "").replace(/"$/, "").split(", ");
      const needed = [
        "hostPort",
        "restricted volume types",
        "runAsNonRoot != true",
        "runAsUser=0",
      ];
      assert.deepEqual(complaints.filter((complaint) => !needed.includes(complaint)), [], text);
    }
  },
});

Deno.test({
  ...REQUIRES_API_SERVER,
  name: "the service account may create, read and replace its one Lease, and nothing else",
  async fn() {
    await using server = await ChartApiServer.start();
    const objects = await theHelm().objects(
      { kagami: { bootstrap: { kind: "kubernetes" } } },
      { kubeVersion: await server.version() },
    );
    await server.apply(NAMESPACE, false);
    for (const object of objects.filter(({ kind }) => /^(ServiceAccount|Role.*)$/.test(kind))) {
      assert(isTaken((await server.apply(object, false)).status), object.kind);
    }
    const leases = "/apis/coordination.k8s.io/v1/namespaces/kagami/leases";
    const lease = (name: string): KubernetesObject => ({
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name, namespace: "kagami" },
      spec: {},
    });
    const own = lease("kagami-bootstrap");
    const as = (method: string, path: string, body?: KubernetesObject) =>
      server.statusFor("kagami:kagami", method, path, body);
    assert.equal(await as("GET", `${leases}/kagami-bootstrap`), 404);
    assert.equal(await as("POST", leases, own), 201);
    assert.equal(await as("GET", `${leases}/kagami-bootstrap`), 200);
    const old = { ...own, metadata: { ...own.metadata, resourceVersion: "1" } };
    // A conflict of versions is told only to those who may write.
    assert.equal(await as("PUT", `${leases}/kagami-bootstrap`, old), 409);
    for (
      const [method, path, body] of [
        ["DELETE", `${leases}/kagami-bootstrap`],
        ["GET", leases],
        ["GET", `${leases}/other`],
        ["PUT", `${leases}/other`, lease("other")],
        ["GET", "/api/v1/namespaces/kagami/secrets"],
      ] as const
    ) {
      assert.equal(await as(method, path, body), 403, `${method} ${path}`);
    }
  },
});
