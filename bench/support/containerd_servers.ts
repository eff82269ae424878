/**
 * Kagami and Spegel as `bench/serve.ts` compares them: each serves the same image from a containerd of its own.
 *
 * @module
 */
import { TestCluster } from "../../tests/integration/harness/cluster.ts";
import { PORTS } from "../../tests/integration/harness/mirror_process.ts";
import { inside } from "../../tests/integration/harness/network.ts";
import { SHIPPED_RUN } from "../../tests/integration/harness/shipped_runtime.ts";
import { HTTP_BOOTSTRAP } from "../../tests/interop/support/mixed_cluster.ts";
import { type Kind, REGISTRIES } from "../../tests/interop/support/programs.ts";
import type { RunningServer } from "./http_servers.ts";

const KINDS = ["kagami", "spegel"] as const satisfies Kind[];

/** Both servers, and what they serve. */
export interface ContainerdServers extends AsyncDisposable {
  readonly servers: Readonly<Record<Kind, RunningServer>>;
  /** Digests of the layers, in the order of their sizes as given, and of the manifest. */
  readonly layers: readonly string[];
  readonly manifest: string;
}

/**
 * Starts both, each with a containerd that has an image of the same content.
 *
 * @param layers Sizes of its layers in bytes.
 * @returns The servers.
 */
export async function startContainerdServers(
  layers: readonly number[],
): Promise<ContainerdServers> {
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(
    await TestCluster.start({
      nodes: KINDS.length,
      env: { ...HTTP_BOOTSTRAP, LOG_LEVEL: "INFO" },
      program: (number) => commandOf(KINDS[number - 1]!),
    }),
  );
  const image = await cluster.makeImage({ layers });
  const servers = {} as Record<Kind, RunningServer>;
  for (const [index, kind] of KINDS.entries()) {
    const { containerd, mirror } = cluster.node(index + 1);
    await containerd.importImage(image, "docker.io/library/bench");
    servers[kind] = {
      pids: [mirror.pid],
      url: (what, digest) =>
        `http://${mirror.node.ip}:${PORTS.registry}/v2/library/bench/${what}/${digest}?ns=docker.io`,
      command: (...words) => ["ip", ...inside(mirror.node, ...words)],
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  const kept = stack.move();
  return {
    servers,
    layers: image.layers,
    manifest: image.digest,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Kagami with the settings that it is shipped with. */
function commandOf(kind: Kind): readonly string[] {
  if (kind !== "kagami") return REGISTRIES[kind];
  const [_deno, _run, ...rest] = REGISTRIES[kind];
  return [...SHIPPED_RUN, ...rest];
}
