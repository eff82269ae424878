// Each command as a process of its own, with the permissions that it is said to need and no others.
import assert from "node:assert/strict";
import {
  keepOnly,
  permissionFlags,
  PERMISSIONS,
  PROGRAM,
  programPermissionFlags,
  TEMPORARY,
} from "../../../lib/cli/permissions.ts";
import { type CommandName, COMMANDS, type Option } from "../../../lib/config/options.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free_port.ts";
import { LayoutFolder } from "../support/layout_folder.ts";

const root = new URL("../../../", import.meta.url);
const COMMAND_NAMES = Object.keys(COMMANDS) as CommandName[];

/** Folders and ports of one test. */
class Bed implements AsyncDisposable {
  readonly ports = { registry: freePort(), router: freePort(), metrics: freePort() };

  private constructor(readonly folder: string, readonly layout: LayoutFolder) {}

  static async create(): Promise<Bed> {
    const folder = await Deno.makeTempDir({ prefix: "kagami-permissions-" });
    for (const name of ["data", "certs"]) await Deno.mkdir(`${folder}/${name}`);
    return new Bed(folder, await LayoutFolder.create());
  }

  get paths(): Record<string, string> {
    return {
      "oci-layout-path": this.layout.path,
      "data-dir": `${this.folder}/data`,
      "basic-auth-dir": `${this.folder}/auth`,
      "containerd-registry-config-path": `${this.folder}/certs`,
    };
  }

  /** Arguments of the options among the paths that the command has. */
  args(name: CommandName, extra: readonly string[] = []): string[] {
    const flags = Object.values<Option<unknown>>(COMMANDS[name].options).map(({ flag }) => flag);
    const paths = Object.entries(this.paths).filter(([flag]) => flags.includes(flag));
    return [name, ...paths.map(([flag, path]) => `--${flag}=${path}`), ...extra];
  }

  command(name: CommandName, extra: readonly string[] = []): Deno.Command {
    const temporary = { [TEMPORARY]: this.folder, [PROGRAM]: Deno.execPath() };
    return new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-check",
        ...permissionFlags(name, { ...this.paths, ...temporary }),
        "main.ts",
        ...this.args(name, extra),
      ],
      cwd: root,
      env: { TMPDIR: this.folder },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
  }

  /** Runs a command to its end. */
  async run(name: CommandName, extra: readonly string[] = []): Promise<string> {
    const { code, stdout, stderr } = await this.command(name, extra).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.equal(code, 0, `${out}${err}`);
    assert(!`${out}${err}`.includes("NotCapable"), `${out}${err}`);
    return out!;
  }

  /** Runs the mirror while a test needs it. */
  async withMirror(test: () => Promise<void>): Promise<string> {
    const { registry, router, metrics } = this.ports;
    const mirror = this.command("registry", [
      "--store=oci-layout",
      `--registry-addr=:${registry}`,
      `--router-addr=127.0.0.1:${router}`,
      "--peer-tls-addr=127.0.0.1:0",
      `--metrics-addr=:${metrics}`,
      "--bootstrap-kind=static",
      `--static-bootstrap-peers=127.0.0.1:${router}`,
    ]).spawn();
    const output = mirror.output();
    try {
      await eventually("the mirror is ready", async () => {
        const response = await fetch(`http://127.0.0.1:${registry}/readyz`);
        await response.body?.cancel();
        return response.ok;
      });
      await test();
    } finally {
      mirror.kill("SIGTERM");
    }
    const { code, stderr } = await output;
    const log = new TextDecoder().decode(stderr);
    assert.equal(code, 0, log);
    return log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.layout[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

Deno.test("permissions of a command name options that it has", () => {
  for (const name of COMMAND_NAMES) {
    const flags = Object.values<Option<unknown>>(COMMANDS[name].options).map(({ flag }) => flag);
    const { read, write } = PERMISSIONS[name];
    for (const flag of [...read, ...write]) assert(flags.includes(flag), `${name} --${flag}`);
  }
});

Deno.test("no command may load remote modules, only the demo runs programs, only the mirror loads a library", () => {
  for (const name of COMMAND_NAMES) {
    const flags = permissionFlags(name).join(" ");
    assert.doesNotMatch(flags, /-A\b|--allow-all|--allow-ffi(?!=)|--allow-import/);
    assert.match(flags, /--no-prompt --deny-import/);
    assert.equal(flags.includes("--allow-run"), name === "demo", name);
    assert.equal(flags.includes("--allow-ffi=/lib/"), name === "registry", name);
  }
});

Deno.test("the program as a whole may do what its commands may, and nothing else", () => {
  const kinds = new Set(
    COMMAND_NAMES.flatMap((name) => permissionFlags(name)).map((flag) => flag.split("=")[0]),
  );
  assert.deepEqual(
    programPermissionFlags().map((flag) => flag.split("=")[0]).sort(),
    [...kinds].sort(),
  );
  const facts = COMMAND_NAMES.flatMap((name) => PERMISSIONS[name].sys);
  assert(programPermissionFlags().includes(`--allow-sys=${[...new Set(facts)].join()}`));
});

Deno.test("keepOnly() gives up what the command does not need", () => {
  const given = (name: CommandName): string[] => {
    const names: string[] = [];
    keepOnly(name, (permission) => {
      names.push("kind" in permission ? `${permission.name} ${permission.kind}` : permission.name);
    });
    return names;
  };
  assert.deepEqual(given("registry"), ["run", "sys uid"]);
  assert.deepEqual(given("configuration"), [
    "ffi",
    "run",
    "net",
    "sys networkInterfaces",
    "sys uid",
  ]);
  assert.deepEqual(given("demo"), ["ffi", "sys networkInterfaces", "sys uid"]);
  assert.deepEqual(given("version"), [
    "ffi",
    "run",
    "net",
    "read",
    "write",
    "sys networkInterfaces",
    "sys uid",
  ]);
});

Deno.test("a process that runs a command cannot do any more what the command does not need", async () => {
  await using bed = await Bed.create();
  const script = `${bed.folder}/probe.ts`;
  await Deno.writeTextFile(
    script,
    `import { runProgram } from ${JSON.stringify(new URL("lib/cli/command.ts", root).href)};
     const write = () => {};
     const revoke = (permission: Deno.PermissionDescriptor) =>
       void Deno.permissions.revokeSync(permission);
     const context = { env: {}, signal: new AbortController().signal, stdout: write, stderr: write };
     const before = new Deno.Command(Deno.execPath(), { args: ["--version"] }).outputSync().success;
     await runProgram({ ...context, args: ["version"], revoke });
     const denied = (work: () => unknown) => {
       try { work(); return false; } catch (error) { return error instanceof Deno.errors.NotCapable; }
     };
     console.log(JSON.stringify({
       before,
       run: denied(() => new Deno.Command("true").outputSync()),
       read: denied(() => Deno.readTextFileSync("/etc/passwd")),
       write: denied(() => Deno.writeTextFileSync(${JSON.stringify(script)}, "")),
       net: denied(() => Deno.listen({ port: 0 })),
       sys: denied(() => Deno.networkInterfaces()),
     }));`,
  );
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--config=deno.json", ...programPermissionFlags(), script],
    cwd: root,
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert.notEqual(text, "", new TextDecoder().decode(stderr));
  const denied = { run: true, read: true, write: true, net: true, sys: true };
  assert.deepEqual(JSON.parse(text), { before: true, ...denied });
});

for (const name of ["configuration", "prepare", "version", "demo"] as const) {
  Deno.test(`${name} works with no more than its permissions`, async () => {
    await using bed = await Bed.create();
    await Deno.writeTextFile(`${bed.folder}/data/private.key`, "", { mode: 0o600 });
    const extra = name === "configuration" ? ["--mirror-targets=http://127.0.0.1:5000"] : [];
    const text = await bed.run(name, extra);
    switch (name) {
      case "configuration":
        return void await Deno.stat(`${bed.folder}/certs/_default/hosts.toml`);
      case "prepare": {
        const { mode } = await Deno.stat(`${bed.folder}/data/private.key`);
        return assert.equal(mode! & 0o777, 0o640);
      }
      case "version":
        return assert.match(text, /^kagami version /);
      case "demo":
        return assert.match(text, /Every byte came from a neighbour, verified\./);
    }
  });
}

Deno.test("cleanup and cleanup-wait work with no more than their permissions", async () => {
  await using bed = await Bed.create();
  await bed.run("configuration", ["--mirror-targets=http://127.0.0.1:5000"]);
  const port = freePort();
  const cleanup = bed.command("cleanup", [`--addr=127.0.0.1:${port}`]).spawn();
  const output = cleanup.output();
  try {
    await bed.run("cleanup-wait", ["--probe-endpoint", `127.0.0.1:${port}`, "--period=100ms"]);
  } finally {
    cleanup.kill("SIGTERM");
  }
  const { code, stderr } = await output;
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  await assert.rejects(Deno.stat(`${bed.folder}/certs/_default`), Deno.errors.NotFound);
});

Deno.test("registry, doctor and status work with no more than their permissions", async () => {
  await using bed = await Bed.create();
  const { registry, metrics } = bed.ports;
  await bed.run("configuration", [`--mirror-targets=http://127.0.0.1:${registry}`]);
  const log = await bed.withMirror(async () => {
    const status = await bed.run("status", [`--metrics-addr=:${metrics}`]);
    assert.match(status, /oci-layout/);
    // What it finds does not matter here: it has looked at everything, and nothing was denied to it.
    const extra = [`--metrics-addr=:${metrics}`, `--registry-addr=:${registry}`, "--json"];
    const { stdout, stderr } = await bed.command("doctor", extra).output();
    const text = new TextDecoder().decode(stdout);
    const { findings } = JSON.parse(text);
    assert(findings.length >= 5, new TextDecoder().decode(stderr));
    assert.doesNotMatch(text, /Requires \w+ access/);
    assert(findings.some(({ check }: { check: string }) => check === "identity"), text);
  });
  assert.match(log, /created a new identity/);
  assert.doesNotMatch(log, /Requires \w+ access/);
});
