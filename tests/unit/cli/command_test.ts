import assert from "node:assert/strict";
import { EXIT, runProgram } from "../../../lib/cli/command.ts";
import { type CommandName, COMMANDS, COMMON_OPTIONS } from "../../../lib/config/options.ts";
import { VERSION } from "../../../lib/version.ts";
import { freePort } from "../support/free_port.ts";
import { withFolder } from "./configuration_folder.ts";

/** What a run of the program left behind. */
interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function runWith(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  signal = new AbortController().signal,
): Promise<Run> {
  let stdout = "";
  let stderr = "";
  const code = await runProgram({
    args,
    env,
    signal,
    stdout: (text) => stdout += text,
    stderr: (text) => stderr += text,
  });
  return { code, stdout, stderr };
}

/** The lines of a log. */
function logOf({ stderr }: Run): Record<string, unknown>[] {
  return stderr.trim().split("\n").map((line) => JSON.parse(line));
}

for (const args of [[], ["--help"], ["-h"], ["help"], ["--log-level", "DEBUG", "--help"]]) {
  Deno.test(`runProgram() lists all commands for ${JSON.stringify(args)}`, async () => {
    const { code, stdout, stderr } = await runWith(args);
    assert.equal(code, EXIT.ok);
    assert.equal(stderr, "");
    for (const [name, { summary }] of Object.entries(COMMANDS)) {
      assert.match(stdout, new RegExp(`^  ${name} +${RegExp.escape(summary)}$`, "m"));
    }
    assert.ok(stdout.endsWith("\n"));
  });
}

for (const name of Object.keys(COMMANDS) as CommandName[]) {
  Deno.test(`runProgram() tells of ${name} --help every option, and runs nothing`, async () => {
    const { summary, options } = COMMANDS[name];
    // Neither a wrong option nor a wrong environment may be in the way of help.
    const env = { LOG_LEVEL: "nonsense", REGISTRY_ADDR: "nonsense", ADDR: "nonsense" };
    for (const args of [[name, "--help"], [name, "-h"], ["--help", name], [name, "--x", "-h"]]) {
      const { code, stdout, stderr } = await runWith(args, env);
      assert.equal(code, EXIT.ok);
      assert.equal(stderr, "");
      assert.match(stdout, new RegExp(`^Usage: kagami ${name} \\[options\\]( \\[[A-Z]+\\])?\n`));
      assert.ok(stdout.includes(summary));
      for (const option of [...Object.values(options), ...Object.values(COMMON_OPTIONS)]) {
        assert.match(stdout, new RegExp(`^  --${option.flag}\\b`, "m"));
        assert.ok(stdout.includes(option.help), option.flag);
        if (option.env !== undefined) assert.ok(stdout.includes(`env ${option.env}`), option.flag);
        if (option.default !== "") assert.ok(stdout.includes(`default ${option.default}`));
      }
    }
  });
}

const MISUSES: readonly (readonly [string[], RegExp, Record<string, string>?])[] = [
  [["nonsense"], /unknown command "nonsense", must be one of registry, /],
  [["one\ntwo"], /unknown command "one\\ntwo"/],
  [["--log-level", "DEBUG"], /a command is missing, must be registry, /],
  [["--unknown"], /a command is missing/],
  [["version", "--unknown"], /unknown argument "--unknown"; --help lists/],
  [["version", "more"], /unknown argument "more"/],
  [["version", "--format"], /--format needs a value: /],
  [["version", "--format", "xml"], /--format: "xml" is not allowed, must be /],
  [["version", "--format=a\nb"], /--format: "a\\nb" is not allowed/],
  [["version"], /--log-level \(LOG_LEVEL\): "loud" is not allowed/, { LOG_LEVEL: "loud" }],
  [["configuration"], /--mirror-targets \(MIRROR_TARGETS\) is required/],
  [["cleanup"], /--addr \(ADDR\) is required/],
  [["cleanup", "--addr", "5000"], /--addr \(ADDR\): "5000" is not allowed/],
  [["cleanup-wait", "--probe-endpoint", "a"], /--probe-endpoint \(PROBE_ENDPOINT\)/],
  [["registry", "--store", "oci-layout"], /--oci-layout-path \(OCI_LAYOUT_PATH\) is required/],
  [["registry", "--bootstrap-kind", "dns"], /--dns-bootstrap-domain .* is required/],
  [["registry", "--router-addr", "(\n"], /--router-addr \(ROUTER_ADDR\): "\(\\n"/],
  [["registry"], /--metrics-addr \(METRICS_ADDR\): "x" is not allowed/, { METRICS_ADDR: "x" }],
];
for (const [args, message, env = {}] of MISUSES) {
  const shown = JSON.stringify([...args, ...Object.entries(env).map((pair) => pair.join("="))]);
  Deno.test(`runProgram() explains in one line what is wrong with ${shown}`, async () => {
    const { code, stdout, stderr } = await runWith(args, env);
    assert.equal(code, EXIT.usage);
    assert.equal(stdout, "");
    assert.match(stderr, /^kagami: [^\n]+\n$/);
    assert.match(stderr, message);
  });
}

Deno.test("runProgram() prints the version, and logs nothing", async () => {
  const text = await runWith(["version"]);
  assert.equal(text.code, EXIT.ok);
  assert.match(text.stdout, new RegExp(`^kagami version ${RegExp.escape(VERSION)} .*\n$`));
  const json = await runWith(["--log-level", "DEBUG", "version", "--format=json"]);
  assert.equal(JSON.parse(json.stdout).version, VERSION);
  assert.equal(text.stderr + json.stderr, "");
});

Deno.test("runProgram() ends with 0 when a command has done its work", async () => {
  await withFolder(async (folder) => {
    const run = await runWith([
      "configuration",
      `--containerd-registry-config-path=${folder}/certs.d`,
      `--basic-auth-dir=${folder}/auth`,
      "--mirror-targets=http://127.0.0.1:5000",
    ]);
    assert.equal(run.code, EXIT.ok);
    assert.equal(run.stdout, "");
    assert.equal(logOf(run).at(-1)?.["msg"], "exit gracefully");
    assert.match(await Deno.readTextFile(`${folder}/certs.d/_default/hosts.toml`), /5000/);
  });
});

Deno.test("runProgram() takes options from the environment, and the level of the log", async () => {
  await withFolder(async (folder) => {
    const run = await runWith(["configuration"], {
      CONTAINERD_REGISTRY_CONFIG_PATH: `${folder}/certs.d`,
      BASIC_AUTH_DIR: `${folder}/auth`,
      MIRROR_TARGETS: "http://127.0.0.1:5000",
      LOG_LEVEL: "ERROR",
    });
    assert.deepEqual(run, { code: EXIT.ok, stdout: "", stderr: "" });
    assert.match(await Deno.readTextFile(`${folder}/certs.d/_default/hosts.toml`), /5000/);
  });
});

Deno.test("runProgram() ends with 1 and one line of log when a command fails", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/password`, "secret");
    const run = await runWith([
      "configuration",
      `--containerd-registry-config-path=${folder}/certs.d`,
      `--basic-auth-dir=${folder}`,
      "--mirror-targets=http://127.0.0.1:5000",
    ]);
    assert.equal(run.code, EXIT.failure);
    const [line, ...more] = logOf(run);
    assert.equal(line?.["level"], "ERROR");
    assert.equal(line["msg"], "exit with error");
    assert.match(String(line["error"]), /^ERR_CONFIG: .*username/);
    assert.deepEqual(more, []);
    assert.doesNotMatch(run.stderr, /secret"|\bat file:/, "neither secrets nor stacks");
  });
});

Deno.test("runProgram() ends cleanup with 0 when it is stopped, and cleanup-wait with 1", async () => {
  await withFolder(async (folder) => {
    const stopped = AbortSignal.abort();
    const cleanup = await runWith(
      ["cleanup", "--addr=127.0.0.1:0", `--containerd-registry-config-path=${folder}`],
      {},
      stopped,
    );
    assert.equal(cleanup.code, EXIT.ok);
    assert.equal(logOf(cleanup).at(-1)?.["msg"], "exit gracefully");
    const wait = await runWith(["cleanup-wait", "--probe-endpoint=127.0.0.1:1"], {}, stopped);
    assert.equal(wait.code, EXIT.failure);
    assert.match(wait.stderr, /ERR_UNAVAILABLE/);
  });
});

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;

async function runMain(...args: string[]): Promise<Run> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "-A", MAIN, ...args],
    clearEnv: true,
    env: { DENO_DIR: Deno.env.get("DENO_DIR") ?? "", HOME: Deno.env.get("HOME") ?? "/root" },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("main.ts passes on the exit code and both outputs", async () => {
  const version = await runMain("version", "--format", "json");
  assert.equal(version.code, EXIT.ok);
  assert.equal(JSON.parse(version.stdout).version, VERSION);
  const misuse = await runMain("nonsense");
  assert.equal(misuse.code, EXIT.usage);
  assert.match(misuse.stderr, /^kagami: unknown command [^\n]+\n$/);
});

Deno.test("main.ts registry ends with 1 and says so when an address is in use", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/blobs`);
    await Deno.writeTextFile(`${folder}/index.json`, '{"schemaVersion":2,"manifests":[]}');
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const address = `127.0.0.1:${taken.addr.port}`;
    for (const flag of ["--registry-addr", "--metrics-addr"]) {
      const addresses = { "--registry-addr": "127.0.0.1:0", "--metrics-addr": "127.0.0.1:0" };
      const run = await runMain(
        "registry",
        "--router-addr=127.0.0.1:0",
        "--peer-tls-addr=127.0.0.1:0",
        ...Object.entries({ ...addresses, [flag]: address }).map((pair) => pair.join("=")),
        "--store=oci-layout",
        `--oci-layout-path=${folder}`,
      );
      assert.equal(run.code, EXIT.failure, run.stderr);
      const line = logOf(run).at(-1);
      assert.equal(line?.["msg"], "exit with error");
      assert.match(String(line["error"]), new RegExp(`^ERR_UNAVAILABLE: .*${address}`));
    }
  });
});

// grpc-js ends its pause before another attempt some moments after its client was closed.
const GRPC_TIMERS = { sanitizeOps: false, sanitizeResources: false } as const;

Deno.test("runProgram() fails status and doctor where no mirror answers", GRPC_TIMERS, async () => {
  await withFolder(async (folder) => {
    const port = freePort();
    const addresses = [`--metrics-addr=127.0.0.1:${port}`, `--registry-addr=127.0.0.1:${port}`];
    const status = await runWith(["status", addresses[0]!]);
    assert.equal(status.code, EXIT.failure);
    assert.match(String(logOf(status)[0]?.["error"]), /does not answer/);
    const args = [...addresses, `--containerd-sock=${folder}/sock`, `--basic-auth-dir=${folder}`];
    const doctor = await runWith(["doctor", "--json", ...args]);
    assert.equal(doctor.code, EXIT.failure);
    const { healthy, findings } = JSON.parse(doctor.stdout);
    assert.equal(healthy, false);
    const codes = findings.map(({ code }: { code?: string }) => code);
    for (const code of ["registry-silent", "metrics-silent", "containerd-no-socket"]) {
      assert.ok(codes.includes(code), code);
    }
    const image = await runWith(["doctor", "nginx", ...args]);
    assert.equal(image.code, EXIT.failure);
    assert.match(image.stdout, /^failure {2}registry +127\.0\.0\.1:/m);
    const wrong = await runWith(["doctor", "Nginx", ...args]);
    assert.equal(wrong.code, EXIT.failure);
    assert.match(String(logOf(wrong)[0]?.["error"]), /not a repository name/);
  });
});
