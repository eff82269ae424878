/**
 * The files that Kagami and Spegel write for containerd, and take back.
 *
 * @module
 */
import assert from "node:assert/strict";
import { parse, type TomlTable } from "smol-toml";
import { ManagedProcess, type Output, run, runCommand } from "../integration/harness/process.ts";
import { type Kind, otherThan, PROGRAMS, REQUIRES_SPEGEL } from "./support/programs.ts";

const KINDS: readonly Kind[] = ["kagami", "spegel"];

const MIRROR = "http://10.0.0.7:30020";
const IPV6_MIRROR = "http://fd00::7:30020";
/** As they stand in hosts.toml. */
const MIRRORS = new Set([MIRROR, "http://[fd00::7]:30020"]);

/** What an operator may have in certs.d: of registries that are mirrored here and others, and a certificate. */
const EXISTING: Readonly<Record<string, string>> = {
  "docker.io/hosts.toml": `server = "https://registry-1.docker.io"

[host."https://second.example"]
capabilities = ["pull"]

[host."https://first.example"]
capabilities = ["pull", "resolve"]
skip_verify = true
[host."https://first.example".header]
x-custom = ["a", "b"]
`,
  "quay.io/hosts.toml": '[host."https://cache.example"]\ncapabilities = ["pull"]\n',
  "internal.example:5000/ca.crt": "certificate\n",
};

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "kagami-certs-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function makeCerts(path: string, files: Readonly<Record<string, string>>): Promise<void> {
  await Deno.mkdir(path);
  for (const [name, text] of Object.entries(files)) {
    const folder = name.slice(0, name.lastIndexOf("/"));
    await Deno.mkdir(`${path}/${folder}`, { recursive: true });
    await Deno.writeTextFile(`${path}/${name}`, text);
  }
}

/** Runs `configuration`; what is in front of the command line can change what the program sees. */
async function configure(
  kind: Kind,
  certs: string,
  flags: readonly string[],
  before: readonly string[] = ["env"],
): Promise<void> {
  const path = `--containerd-registry-config-path=${certs}`;
  const [command = "", ...rest] = [...before, ...PROGRAMS[kind], "configuration", path, ...flags];
  const { code, stderr } = await runCommand(command, rest);
  assert.equal(code, 0, `${kind}: ${stderr}`);
}

interface HostsFile {
  readonly content: TomlTable;
  /** Mirrors, in the order that containerd asks them in. */
  readonly order: readonly string[];
}

/** What containerd reads in a certs.d, by folder. */
async function hostsFiles(certs: string): Promise<Record<string, HostsFile>> {
  const files: Record<string, HostsFile> = {};
  for await (const { name, isDirectory } of Deno.readDir(certs)) {
    if (!isDirectory || name === "_backup") continue;
    const content = parse(await Deno.readTextFile(`${certs}/${name}/hosts.toml`));
    files[name] = { content, order: Object.keys(content["host"] ?? {}) };
  }
  return files;
}

const REGISTRIES = [
  "--mirrored-registries",
  "https://docker.io",
  "https://ghcr.io",
  "http://internal.example:5000",
];

const CASES: readonly { readonly name: string; readonly flags: readonly string[] }[] = [
  { name: "all registries", flags: ["--mirror-targets", MIRROR] },
  {
    name: "a wildcard beside a registry",
    flags: ["--mirrored-registries", "https://docker.io", "*", `--mirror-targets=${MIRROR}`],
  },
  { name: "some registries", flags: [...REGISTRIES, "--mirror-targets", MIRROR] },
  {
    name: "several targets",
    flags: [
      ...REGISTRIES,
      "--mirror-targets",
      MIRROR,
      "http://10.0.0.7:30021",
      "https://m.example",
    ],
  },
  {
    name: "an address of IPv6",
    flags: ["--mirror-targets", IPV6_MIRROR, "http://10.0.0.7:30021"],
  },
  {
    name: "tags from upstream",
    flags: [...REGISTRIES, "--mirror-targets", MIRROR, "--resolve-tags=false"],
  },
  {
    name: "own mirrors behind",
    flags: [...REGISTRIES, "--mirror-targets", MIRROR, "--prepend-existing=true"],
  },
];

for (const { name, flags } of CASES) {
  for (const existing of [{}, EXISTING]) {
    const where = existing === EXISTING ? "over an operator's files" : "in an empty folder";
    Deno.test({
      name: `configuration writes the same hosts.toml as Spegel ${where}: ${name}`,
      ...REQUIRES_SPEGEL,
      fn: () =>
        withFolder(async (folder) => {
          const written = [];
          for (const kind of KINDS) {
            await makeCerts(`${folder}/${kind}`, existing);
            await configure(kind, `${folder}/${kind}`, flags);
            written.push(await hostsFiles(`${folder}/${kind}`));
          }
          const [ours, theirs] = written.map(withoutKept);
          assert.deepEqual(ours, theirs);
          assert(Object.keys(ours!).length > 0);
        }),
    });
  }
}

/** Leaves out what Kagami keeps of the operator's and Spegel does not. */
function withoutKept(files: Record<string, HostsFile>): Record<string, HostsFile> {
  const kept = Object.entries(files).flatMap(([name, { content, order }]) => {
    const { ca: _, ...rest } = content;
    return order.some((url) => MIRRORS.has(url)) ? [[name, { content: rest, order }]] : [];
  });
  return Object.fromEntries(kept);
}

Deno.test({
  name:
    "configuration keeps an operator's other registries and certificates, which Spegel does not",
  ...REQUIRES_SPEGEL,
  fn: () =>
    withFolder(async (folder) => {
      const [ours, theirs] = await Promise.all(KINDS.map(async (kind) => {
        await makeCerts(`${folder}/${kind}`, EXISTING);
        const flags = [...REGISTRIES, "--mirror-targets", MIRROR, "--prepend-existing"];
        await configure(kind, `${folder}/${kind}`, flags);
        return await hostsFiles(`${folder}/${kind}`);
      }));
      const certificates = (files: typeof ours) => files!["internal.example:5000"]!.content["ca"];
      assert.deepEqual([certificates(ours), certificates(theirs)], [["ca.crt"], undefined]);
      assert.deepEqual(ours!["quay.io"]!.order, ["https://cache.example"]);
      assert.equal(theirs!["quay.io"], undefined);
    }),
});

Deno.test({
  name: "configuration writes the same hosts.toml as Spegel: basic authentication",
  ...REQUIRES_SPEGEL,
  fn: () =>
    withFolder(async (folder) => {
      // An /etc of their own: Spegel reads the secret at one place only.
      const script = "mount -t tmpfs tmpfs /etc && mkdir -p /etc/secrets/basic-auth && " +
        "printf mirror > /etc/secrets/basic-auth/username && " +
        'printf p:ss > /etc/secrets/basic-auth/password && exec "$@"';
      const written = [];
      for (const kind of KINDS) {
        const wrapper = ["unshare", "--mount", "sh", "-c", script, "sh"];
        await configure(kind, `${folder}/${kind}`, ["--mirror-targets", MIRROR], wrapper);
        written.push(await hostsFiles(`${folder}/${kind}`));
      }
      const [ours, theirs] = written;
      assert.deepEqual(ours, theirs);
      const header = { Authorization: `Basic ${btoa("mirror:p:ss")}` };
      const host = ours!["_default"]!.content["host"] as Record<string, TomlTable>;
      assert.deepEqual({ ...host[MIRROR]!["header"] as TomlTable }, header);
    }),
});

for (const kind of KINDS) {
  const other = otherThan(kind);
  const flags = [...REGISTRIES, "--mirror-targets", MIRROR];

  Deno.test({
    name: `cleanup of ${other} puts back what ${kind} has replaced, and ${kind} waits for it`,
    ...REQUIRES_SPEGEL,
    fn: () =>
      withFolder(async (folder) => {
        for (const extra of [[], ["--prepend-existing"]]) {
          const certs = `${folder}/certs-${extra.length}`;
          await makeCerts(certs, EXISTING);
          await run("cp", "-a", certs, `${certs}-before`);
          await configure(kind, certs, [...flags, ...extra]);
          await cleanUp(other, certs, kind);
          await run("diff", "-r", `${certs}-before`, certs);
        }
      }),
  });

  Deno.test({
    name: `configuration of ${other} takes over from ${kind}, and the first files still come back`,
    ...REQUIRES_SPEGEL,
    fn: () =>
      withFolder(async (folder) => {
        const certs = `${folder}/certs`;
        await makeCerts(certs, EXISTING);
        await run("cp", "-a", certs, `${folder}/before`);
        await run("cp", "-a", certs, `${folder}/alone`);
        await configure(kind, certs, ["--mirror-targets", "http://10.9.9.9:1"]);
        const next = [...flags, "--prepend-existing"];
        await configure(other, certs, next);
        await configure(other, `${folder}/alone`, next);
        assert.deepEqual(await hostsFiles(certs), await hostsFiles(`${folder}/alone`));
        await cleanUp(kind, certs, other);
        await run("diff", "-r", `${folder}/before`, certs);
      }),
  });
}

/** Runs `cleanup` of one program, and `cleanup-wait` of the other. */
async function cleanUp(kind: Kind, certs: string, waiting: Kind): Promise<void> {
  const port = 20_000 + Deno.pid % 20_000;
  const [command = "", ...rest] = [
    ...PROGRAMS[kind],
    ...["cleanup", `--addr=127.0.0.1:${port}`, `--containerd-registry-config-path=${certs}`],
  ];
  await using cleanup = await ManagedProcess.start("cleanup", `${certs}.log`, command, rest);
  const wait = ["cleanup-wait", `--probe-endpoint=127.0.0.1:${port}`, "--period=50ms"];
  const { code, stderr } = await runProgram(waiting, wait);
  assert.equal(code, 0, `${stderr}\n${await cleanup.output()}`);
}

function runProgram(kind: Kind, args: readonly string[]): Promise<Output> {
  const [command = "", ...rest] = [...PROGRAMS[kind], ...args];
  return runCommand(command, rest);
}
