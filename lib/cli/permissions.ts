/**
 * What each command may do to the machine: the one source of the flags that the program is compiled and started with,
 * of what it gives up as it starts, and of the table in docs/security.md.
 *
 * A compiled program has one set of permissions for all its commands, and Deno cannot take a part of one back that was
 * granted as a whole. So the set is as small as all commands together allow, and each command gives up what it
 * does not need itself.
 *
 * @module
 */
import type { CommandName, OptionTable } from "../config/options.ts";
import { COMMANDS } from "../config/options.ts";
import { LIBC_PATHS } from "../net/libc.ts";
import { SERVICE_ACCOUNT } from "../routing/bootstrap/kubernetes_api.ts";

/** A permission that can be given up as a whole. */
export type PermissionName = "net" | "read" | "write" | "run" | "ffi";

/** Facts about the machine that Deno asks a permission for. */
export type SystemFact = "networkInterfaces" | "uid";

/** What a command may do. */
export interface CommandPermissions {
  /** Whether it uses the network, and why. */
  readonly net?: string;
  /** Flags of the options that name files and folders that are read. */
  readonly read: readonly string[];
  /** The same of what is written. */
  readonly write: readonly string[];
  /** Files and folders that no option names. */
  readonly fixed?: { readonly read?: readonly string[]; readonly write?: readonly string[] };
  readonly sys: readonly SystemFact[];
  /** Which programs it runs, and why. */
  readonly run?: string;
  /** What it loads the C library for, as it starts. The permission is given up after that. */
  readonly ffi?: string;
}

/** Stands for the folder of temporary files. */
export const TEMPORARY = "TMPDIR";

/** Stands for the program itself. */
export const PROGRAM = "the program";

/** What a mirror is set up with; who examines it looks at the same. */
const MIRROR_FILES = [
  "containerd-sock",
  "containerd-content-path",
  "containerd-registry-config-path",
  "oci-layout-path",
  "data-dir",
  "basic-auth-dir",
  "cluster-secret-path",
];

/** What each command may do. All of them may read their environment. */
export const PERMISSIONS: Readonly<Record<CommandName, CommandPermissions>> = {
  registry: {
    net: "listens, asks peers, containerd, DNS and the Kubernetes API",
    read: MIRROR_FILES,
    // Deno wants the permission to write for connecting to a socket.
    write: ["containerd-sock", "data-dir"],
    fixed: { read: [SERVICE_ACCOUNT] },
    sys: ["networkInterfaces"],
    ffi: "lets the kernel send files",
  },
  configuration: {
    read: ["containerd-registry-config-path", "basic-auth-dir"],
    write: ["containerd-registry-config-path"],
    sys: [],
  },
  prepare: { read: ["data-dir"], write: ["data-dir"], sys: ["uid"] },
  cleanup: {
    net: "answers probes",
    read: ["containerd-registry-config-path"],
    write: ["containerd-registry-config-path"],
    sys: [],
  },
  "cleanup-wait": { net: "asks the pods that clean up, and DNS", read: [], write: [], sys: [] },
  doctor: {
    net: "asks the mirror, its peers, containerd and the targets of hosts.toml",
    read: MIRROR_FILES,
    write: ["containerd-sock"],
    sys: [],
  },
  status: { net: "asks the mirror", read: [], write: [], sys: [] },
  demo: {
    net: "asks its nodes",
    read: [],
    write: [],
    fixed: { read: [TEMPORARY, PROGRAM], write: [TEMPORARY] },
    sys: [],
    run: "itself, once for each node",
  },
  version: { read: [], write: [], sys: [] },
};

/** No library but the C library. */
const FFI_FLAG = `--allow-ffi=${LIBC_PATHS.join()}`;

/** All facts about the machine that some command asks for. */
const SYSTEM_FACTS: readonly SystemFact[] = ["networkInterfaces", "uid"];

/**
 * Takes permissions back for the rest of the process.
 *
 * @param descriptor What is given up.
 */
export type Revoke = (descriptor: Deno.PermissionDescriptor) => void;

/**
 * Gives up what a command does not need.
 *
 * @param name The command.
 * @param revoke Takes a permission back.
 */
export function keepOnly(name: CommandName, revoke: Revoke): void {
  const { net, sys, run, ffi, ...files } = PERMISSIONS[name];
  const isUsed = (kind: "read" | "write") =>
    files[kind].length > 0 || files.fixed?.[kind] !== undefined;
  if (ffi === undefined) revoke({ name: "ffi" });
  if (run === undefined) revoke({ name: "run" });
  if (net === undefined) revoke({ name: "net" });
  if (!isUsed("read")) revoke({ name: "read" });
  if (!isUsed("write")) revoke({ name: "write" });
  for (const kind of SYSTEM_FACTS) if (!sys.includes(kind)) revoke({ name: "sys", kind });
}

/**
 * The flags for Deno by which a command gets what it needs, and no more.
 *
 * @param name The command.
 * @param paths Where its files are, by the flag of the option or the word of `fixed`; an option that is not given has its
 * default.
 * @returns The flags.
 */
export function permissionFlags(
  name: CommandName,
  paths: Readonly<Record<string, string>> = {},
): string[] {
  const { net, read, write, fixed, sys, run, ffi } = PERMISSIONS[name];
  const options: OptionTable = COMMANDS[name].options;
  const pathOf = (flag: string): string => {
    const option = Object.values(options).find((one) => one.flag === flag);
    return paths[flag] ?? option?.default ?? flag;
  };
  const all = (flags: readonly string[], more: readonly string[] = []) =>
    [...flags, ...more].map(pathOf).filter((path) => path !== "").join(",");
  const flag = (kind: string, values: string) => values === "" ? [] : [`--allow-${kind}=${values}`];
  return [
    "--no-prompt",
    "--deny-import",
    "--allow-env",
    ...(net === undefined ? [] : ["--allow-net"]),
    ...flag("read", all(read, fixed?.read)),
    ...flag("write", all(write, fixed?.write)),
    ...flag("sys", sys.join(",")),
    ...(run === undefined ? [] : [`--allow-run=${pathOf(PROGRAM)}`]),
    ...(ffi === undefined ? [] : [FFI_FLAG]),
  ];
}

/**
 * The flags for a program that is to run any of the commands, wherever their files are.
 *
 * @returns The flags.
 */
export function programPermissionFlags(): string[] {
  const files = ["--allow-net", "--allow-read", "--allow-write", "--allow-env"];
  return [
    "--no-prompt",
    "--deny-import",
    ...files,
    `--allow-sys=${SYSTEM_FACTS.join()}`,
    "--allow-run",
    FFI_FLAG,
  ];
}
