/**
 * Which containerd the tests run with, and its configuration file.
 *
 * @module
 */
import { runCommand } from "./process.ts";

/** The machine's own containerd, or the one that `CONTAINERD_BIN` names. */
export const CONTAINERD = Deno.env.get("CONTAINERD_BIN") || "containerd";

/** The `ctr` that belongs to it: `CTR_BIN`. */
export const CTR = Deno.env.get("CTR_BIN") || "ctr";

async function majorVersion(): Promise<number> {
  try {
    const { stdout } = await runCommand(CONTAINERD, ["--version"]);
    return Number(/ v?(\d+)\.\d+/.exec(stdout)?.[1] ?? 0);
  } catch {
    return 0; // There is none; the requirements of the tests say so.
  }
}

/** Its major version; 0 if there is none. */
export const CONTAINERD_MAJOR: number = await majorVersion();

/** Settings that a mirror depends on; right ones by default. */
export interface ContainerdSettings {
  readonly discardUnpackedLayers?: boolean;
  /** Whether it looks for mirrors. */
  readonly usesMirrors?: boolean;
  /** Size of the parts in which a layer is fetched in parallel, in bytes; 0 for none. containerd 2.1 brought it. */
  readonly layerFetchBuffer?: number;
}

/** Where a containerd has its files. */
export interface ContainerdPlaces {
  /** Everything of it lies here. */
  readonly folder: string;
  readonly sock: string;
  readonly certsDir: string;
}

/** Plugins that tests do not need and machines may not have. */
const DISABLED_PLUGINS = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
];

/** Further ones of 2.x; the first has a socket at one place for all daemons of a machine. */
const DISABLED_PLUGINS_2 = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.erofs"];

/**
 * Text of the configuration file, in the format of the containerd that the tests run with.
 *
 * @param places Where its files are.
 * @param snapshotter What unpacks images.
 * @param settings What is not to be as usual.
 */
export function containerdConfig(
  places: ContainerdPlaces,
  snapshotter: string,
  settings: ContainerdSettings,
): string {
  const { discardUnpackedLayers = false, usesMirrors = true, layerFetchBuffer = 0 } = settings;
  const { folder, sock, certsDir } = places;
  const isVersion2 = CONTAINERD_MAJOR >= 2;
  const disabled = [...DISABLED_PLUGINS, ...(isVersion2 ? DISABLED_PLUGINS_2 : [])];
  const common = `root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ${JSON.stringify(disabled)}
[grpc]
  address = "${sock}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/opt"
`;
  const unpacking = `snapshotter = "${snapshotter}"
discard_unpacked_layers = ${discardUnpackedLayers}`;
  const configPath = `config_path = "${usesMirrors ? certsDir : ""}"`;
  if (!isVersion2) {
    const cri = 'plugins."io.containerd.grpc.v1.cri"';
    return `version = 2
${common}
[${cri}]
disable_tcp_service = true
[${cri}.containerd]
${unpacking}
[${cri}.registry]
${configPath}
[${cri}.cni]
bin_dir = "${folder}/cni/bin"
conf_dir = "${folder}/cni/conf"
`;
  }
  const images = 'plugins."io.containerd.cri.v1.images"';
  return `version = 3
${common}
[${images}]
${unpacking}
[${images}.registry]
${configPath}
[plugins."io.containerd.transfer.v1.local"]
concurrent_layer_fetch_buffer = ${layerFetchBuffer}
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["${folder}/cni/bin"]
conf_dir = "${folder}/cni/conf"
`;
}
