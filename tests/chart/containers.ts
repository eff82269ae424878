/**
 * Containers of rendered objects, and the commands that they run.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Command, parseCommand } from "../../lib/config/config.ts";
import type { KubernetesObject } from "./schemas.ts";

/** A volume's place in a container. */
export interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly?: boolean;
}

/** A container. */
export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
  }[];
  readonly ports?: readonly {
    readonly name: string;
    readonly containerPort: number;
    readonly hostPort?: number;
  }[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly volumeMounts?: readonly VolumeMount[];
}

/** A pod's specification. */
export interface PodSpec {
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly {
    readonly name: string;
    readonly hostPath?: { readonly path: string; readonly type: string };
  }[];
  readonly [field: string]: unknown;
}

/** Address that stands for the node's in expanded arguments. */
export const NODE_IP = "192.0.2.7";

/**
 * Finds an object.
 *
 * @param objects All objects.
 * @param kind Its kind.
 * @param name Its name.
 * @returns The object, which must be there.
 */
export function find(
  objects: readonly KubernetesObject[],
  kind: string,
  name: string,
): KubernetesObject {
  const found = objects.filter((object) => object.kind === kind && object.metadata.name === name);
  assert.equal(found.length, 1, `${kind}/${name} is there once`);
  return found[0]!;
}

/**
 * @param object An object.
 * @returns The pod that it makes; undefined if it makes none.
 */
export function podSpec(object: KubernetesObject): PodSpec | undefined {
  return object["spec"]?.template?.spec;
}

/**
 * @param pod A pod.
 * @returns Its containers, in the order in which they start.
 */
export function containersOf(pod: PodSpec): readonly Container[] {
  return [...pod.initContainers ?? [], ...pod.containers];
}

/**
 * Finds a container.
 *
 * @param objects All objects.
 * @param name Its name.
 * @returns The container, which must be there.
 */
export function container(objects: readonly KubernetesObject[], name: string): Container {
  const found = objects.flatMap((object) => {
    const pod = podSpec(object);
    return pod === undefined
      ? []
      : containersOf(pod).filter((candidate) => candidate.name === name);
  });
  assert.equal(found.length, 1, `container ${name} is there once`);
  return found[0]!;
}

/**
 * Reads a container's arguments as the program would, variables expanded as kubelet does.
 *
 * @param container A container of the chart's image.
 * @returns The command.
 * @throws {ConfigError} If the program would refuse them.
 */
export function commandOf({ args, env = [] }: Container): Command {
  const values = new Map(env.map(({ name, value, valueFrom }) => {
    const isNode = valueFrom?.fieldRef.fieldPath === "status.hostIP";
    return [name, value ?? (isNode ? NODE_IP : "")];
  }));
  const expanded = args.map((arg) =>
    arg.replace(/\$\$\(|\$\(([A-Za-z_][A-Za-z0-9_]*)\)/g, (text, name) => {
      if (name === undefined) return "$(";
      assert(values.has(name), `${text} is declared`);
      return values.get(name)!;
    })
  );
  return parseCommand(expanded, Object.fromEntries(values));
}
