/**
 * What holds for every rendering of the chart.
 *
 * @module
 */
import assert from "node:assert/strict";
import { commandOf, containersOf, type PodSpec, podSpec } from "./containers.ts";
import type { KubernetesObject, Schemas } from "./schemas.ts";

/** Mounts through which a container may change its node, by container. */
const WRITABLE: Readonly<Record<string, readonly string[]>> = {
  prepare: ["data"],
  configuration: ["containerd-config"],
  registry: ["data"],
  cleanup: ["containerd-config"],
};

/** Containers that run as root. */
const ROOT = ["prepare", "configuration", "cleanup"];

/** Kinds whose schemas are published nowhere that the tests can reach. */
const WITHOUT_SCHEMA = ["GrafanaDashboard"];

/**
 * Checks all objects of one rendering.
 *
 * @param objects The objects.
 * @param schemas Schemas to check them by.
 */
export function checkInvariants(objects: readonly KubernetesObject[], schemas: Schemas): void {
  const names = objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
  assert.deepEqual(names, [...new Set(names)], "no object is there twice");
  for (const object of objects) {
    const problems = schemas.problems(object);
    if (!WITHOUT_SCHEMA.includes(object.kind)) assert.deepEqual(problems, []);
    const pod = podSpec(object);
    if (pod !== undefined) {
      checkSelector(object);
      checkPod(pod);
    }
  }
  for (const service of objects.filter(({ kind }) => kind === "Service")) {
    checkService(service, objects);
  }
}

function checkSelector({ kind, metadata, ["spec"]: spec }: KubernetesObject): void {
  if (kind !== "DaemonSet") return;
  const labels = spec.template.metadata.labels;
  for (const [label, value] of Object.entries(spec.selector.matchLabels)) {
    assert.equal(labels[label], value, `${metadata.name} selects its own pods`);
  }
}

function checkPod(pod: PodSpec): void {
  const volumes = (pod.volumes ?? []).map(({ name }) => name);
  const mounted = new Set<string>();
  for (const container of containersOf(pod)) {
    if (!(container.name in WRITABLE) && container.name !== "cleanup-wait") continue;
    commandOf(container);
    const { name, securityContext, volumeMounts = [] } = container;
    assert.deepEqual(
      {
        allowPrivilegeEscalation: securityContext["allowPrivilegeEscalation"],
        readOnlyRootFilesystem: securityContext["readOnlyRootFilesystem"],
        capabilities: securityContext["capabilities"],
        isRoot: securityContext["runAsUser"] === 0,
      },
      {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
        isRoot: ROOT.includes(name),
      },
      name,
    );
    for (const { name: volume, readOnly } of volumeMounts) {
      assert(volumes.includes(volume), `${name} mounts ${volume}, which is declared`);
      mounted.add(volume);
      const isWritable = WRITABLE[name]?.includes(volume) ?? false;
      assert.equal(readOnly ?? false, !isWritable, `${name} mounts ${volume} read-only`);
    }
  }
  assert.deepEqual(volumes.filter((name) => !mounted.has(name) && name !== "extra"), []);
}

function checkService(service: KubernetesObject, objects: readonly KubernetesObject[]): void {
  const { selector, ports } = service["spec"];
  const selected = objects.filter((object) => {
    const labels = object["spec"]?.template?.metadata?.labels;
    return labels !== undefined &&
      Object.entries(selector).every(([label, value]) => labels[label] === value);
  });
  assert.equal(selected.length, 1, `service ${service.metadata.name} selects one set of pods`);
  const offered = containersOf(podSpec(selected[0]!)!)
    .flatMap(({ ports = [] }) => ports.map(({ name }) => name));
  for (const { targetPort } of ports) {
    assert(offered.includes(targetPort), `${service.metadata.name}: port ${targetPort} is offered`);
  }
}
