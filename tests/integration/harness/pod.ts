/**
 * Kagami as the Helm chart runs it: a user of its own without any capability, and of the node's files only what is
 * mounted, each in its own place.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { container } from "../../chart/containers.ts";
import type { KubernetesObject } from "../../chart/schemas.ts";
import { run } from "./process.ts";

const root = new URL("../../../", import.meta.url);

/** Where the container's files are; the root directory is read-only then. */
const MOUNTS = "/mnt";

/**
 * Makes the mounts of a pod in a mount namespace of its own, and starts what follows.
 *
 * Sockets and files are mounted themselves, not their folders, as kubelet does it.
 */
const SCRIPT = `
set -e
mount -t tmpfs -o mode=755 tmpfs ${MOUNTS}
place() {
  if [ -d "$1" ]; then mkdir -p "${MOUNTS}/$2"; else touch "${MOUNTS}/$2"; fi
  mount --bind "$1" "${MOUNTS}/$2"
}
place "$DENO" deno
place "$DENO_FOLDER" deno-folder
place "$SOURCES" sources
mkdir -p "$DATA_DIR"
chmod 755 "$DATA_DIR"
place "$DATA_DIR" data
place "$CONTAINERD_SOCK" containerd.sock
place "$CONTAINERD_CONTENT_PATH" content
for name in deno-folder sources content containerd.sock; do mount -o remount,bind,ro "${MOUNTS}/$name"; done
export DENO_DIR=${MOUNTS}/deno-folder CONTAINERD_SOCK=${MOUNTS}/containerd.sock
export CONTAINERD_CONTENT_PATH=${MOUNTS}/content DATA_DIR=${MOUNTS}/data
unset BASIC_AUTH_DIR
cd ${MOUNTS}
program="${MOUNTS}/deno run -A --no-check --cached-only ${MOUNTS}/sources/main.ts"
$PREPARE $program prepare
mount -o remount,bind,ro /
exec $REGISTRY $program registry
`;

/** Security of a container. */
export interface Identity {
  readonly user: number;
  readonly group: number;
}

/**
 * @param name A container of the chart.
 * @returns As whom it runs.
 */
export async function identityOf(name: string): Promise<Identity> {
  const text = await Deno.readTextFile(new URL("deploy/manifests/kagami.yaml", root));
  const objects: KubernetesObject[] = parseAllDocuments(text).map((document) => document.toJS());
  const { securityContext } = container(objects, name);
  return {
    user: Number(securityContext["runAsUser"]),
    group: Number(securityContext["runAsGroup"]),
  };
}

/**
 * Command line before that of a program, to run it as a container would.
 *
 * @param identity As whom.
 * @returns The command line.
 */
export function confine({ user, group }: Identity): string[] {
  const ids = [`--reuid=${user}`, `--regid=${group}`, "--clear-groups"];
  return ["setpriv", ...ids, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"];
}

/**
 * Command line that runs the mirror of a node as in its pod.
 *
 * @returns The command.
 */
export async function podRegistry(): Promise<string[]> {
  const info = await run(Deno.execPath(), "info", "--json");
  const env = {
    DENO: Deno.execPath(),
    DENO_FOLDER: JSON.parse(info).denoDir,
    SOURCES: fileURLToPath(root),
    PREPARE: confine(await identityOf("prepare")).join(" "),
    REGISTRY: confine(await identityOf("registry")).join(" "),
  };
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return ["unshare", "--mount", "env", ...settings, "sh", "-c", SCRIPT];
}
