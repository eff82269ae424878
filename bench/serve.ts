/**
 * How fast, and at what cost, content is served from the node's own store: Kagami (the real program), plainly and
 * over TLS, against Go's `http.ServeContent`, likewise, and nginx where it is to be had. With SPEGEL_BIN set, also against
 * Spegel, both from a containerd. docs/benchmarks.md says what the figures mean.
 *
 *     deno task bench:serve [--rounds=5] [--large-mb=1000]
 *
 * @module
 */
import { run } from "../tests/integration/harness/process.ts";
import { REQUIRES_SPEGEL } from "../tests/interop/support/programs.ts";
import { alternate } from "./support/alternate.ts";
import { numberArgument } from "./support/arguments.ts";
import { startContainerdServers } from "./support/containerd_servers.ts";
import { unpackedProgram } from "./support/debian.ts";
import {
  goServer,
  goTlsServer,
  nginxServer,
  type RunningServer,
  startKagami,
  startKagamiTls,
  type StartServer,
} from "./support/http_servers.ts";
import { LayoutWriter } from "./support/layout.ts";
import { memoryUsage, resetPeak, totalCpuSeconds } from "./support/process_usage.ts";
import { type Figures, say, sayFigures, sayTable } from "./support/report.ts";
import { median } from "./support/statistics.ts";
import { buildGo, isOnPath } from "./support/tools.ts";

const MB = 1_000_000;
const GB = 1000 * MB;

const rounds = numberArgument("rounds", 5);
const largeSize = numberArgument("large-mb", 1000) * MB;

/** What is fetched, by how many connections at once, and how often by each of them. */
interface Case {
  readonly content: "large" | "medium" | "small" | "manifest";
  readonly streams: number;
  readonly requests: number;
}

const CASES = {
  large_x1: { content: "large", streams: 1, requests: 3 },
  large_x8: { content: "large", streams: 8, requests: 1 },
  medium_x1: { content: "medium", streams: 1, requests: 32 },
  medium_x8: { content: "medium", streams: 8, requests: 8 },
  small_x1: { content: "small", streams: 1, requests: 500 },
  manifest: { content: "manifest", streams: 1, requests: 3000 },
} as const satisfies Record<string, Case>;

type CaseName = keyof typeof CASES;
const CASE_NAMES = Object.keys(CASES) as CaseName[];

/** What the load generator prints. */
interface Load {
  readonly seconds: number;
  readonly bytes: number;
  readonly requests: number;
  readonly firstByteSeconds: number;
}

interface Measured {
  readonly mbPerSecond: number;
  readonly requestsPerSecond: number;
  readonly cpuPerGb: number;
}

/** One round of one server. */
interface Round {
  readonly cases: Record<CaseName, Measured>;
  readonly idleMib: number;
  readonly peakMib: number;
  readonly firstServeSeconds: number;
  readonly firstServeRatio: number;
}

type Contents = Readonly<Record<Case["content"], string>>;

async function measureServer(
  server: RunningServer,
  contents: Contents,
  load: string,
): Promise<Round> {
  const { pids } = server;
  const fetchCase = async ({ content, streams, requests }: Case): Promise<Load> => {
    const url = server.url(content === "manifest" ? "manifests" : "blobs", contents[content]);
    const words: [string, ...string[]] = [
      load,
      `-url=${url}`,
      `-streams=${streams}`,
      `-requests=${requests}`,
      ...server.loadArguments ?? [],
    ];
    const [program, ...args] = server.command?.(...words) ?? words;
    return JSON.parse(await run(program, ...args));
  };
  const memory = async (kind: "rssMib" | "peakMib") =>
    (await Promise.all(pids.map(memoryUsage))).reduce((sum, usage) => sum + usage[kind], 0);

  const idleMib = await memory("rssMib");
  const once = { content: "large", streams: 1, requests: 1 } as const;
  // The first read of a content is hashed before a byte of it leaves.
  const first = await fetchCase(once);
  const second = await fetchCase(once);
  for (const content of ["medium", "small", "manifest"] as const) {
    await fetchCase({ content, streams: 1, requests: 50 });
  }

  const cases = {} as Record<CaseName, Measured>;
  let peakMib = 0;
  for (const name of CASE_NAMES) {
    if (name === "large_x8") await Promise.all(pids.map(resetPeak));
    const cpuBefore = await totalCpuSeconds(pids);
    const { seconds, bytes, requests } = await fetchCase(CASES[name]);
    const cpu = await totalCpuSeconds(pids) - cpuBefore;
    if (name === "large_x8") peakMib = await memory("peakMib");
    cases[name] = {
      mbPerSecond: bytes / MB / seconds,
      requestsPerSecond: requests / seconds,
      cpuPerGb: cpu / (bytes / GB),
    };
  }
  return {
    cases,
    idleMib,
    peakMib,
    firstServeSeconds: first.seconds,
    firstServeRatio: first.seconds / second.seconds,
  };
}

/** Median over rounds of one value of a server, or of its ratio to the baseline in the same round. */
function medianOf(
  subject: readonly Round[],
  value: (round: Round) => number,
  baseline?: readonly Round[],
): number {
  return median(
    subject.map((round, index) =>
      value(round) / (baseline === undefined ? 1 : value(baseline[index]!))
    ),
  );
}

async function servers(folder: string): Promise<Record<string, StartServer>> {
  const go = await buildGo("serve_content", folder);
  const found: Record<string, StartServer> = {
    kagami: startKagami,
    tls: startKagamiTls,
    go: goServer(go),
    go_tls: goTlsServer(go),
  };
  const nginx = await isOnPath("nginx")
    ? "nginx"
    : await unpackedProgram("nginx", "usr/sbin/nginx", folder);
  if (nginx !== undefined) found["nginx"] = nginxServer(nginx);
  else say("nginx is not on PATH, and no package of it is to be had: left out");
  return found;
}

function tables(results: Readonly<Record<string, readonly Round[]>>): void {
  const names = Object.keys(results);
  const cell = (name: string, value: (round: Round) => number) => medianOf(results[name]!, value);
  sayTable(
    ["case", ...names.flatMap((name) => [`${name} MB/s`, "requests/s", "CPU s/GB"])],
    CASE_NAMES.map((name) => [
      name,
      ...names.flatMap((server) => [
        cell(server, ({ cases }) => cases[name].mbPerSecond),
        cell(server, ({ cases }) => cases[name].requestsPerSecond),
        cell(server, ({ cases }) => cases[name].cpuPerGb),
      ]),
    ]),
  );
  sayTable(
    ["server", "RSS idle MiB", "peak MiB, large_x8", "first serve s", "to a later one"],
    names.map((name) => [
      name,
      cell(name, ({ idleMib }) => idleMib),
      cell(name, ({ peakMib }) => peakMib),
      cell(name, ({ firstServeSeconds }) => firstServeSeconds),
      cell(name, ({ firstServeRatio }) => firstServeRatio),
    ]),
  );
}

/** Throughput and CPU of a server in relation to Go's, case by case. */
function ratios(rounds: readonly Round[], baseline: readonly Round[], prefix: string): Figures {
  const figures: Record<string, number> = {};
  for (const name of CASE_NAMES) {
    const speed = ({ cases }: Round) => cases[name].requestsPerSecond;
    figures[prefix + name] = medianOf(rounds, speed, baseline);
  }
  const cpu = (name: CaseName) => medianOf(rounds, ({ cases }) => cases[name].cpuPerGb, baseline);
  figures[`${prefix}cpu_per_gb`] = cpu("large_x8");
  figures[`${prefix}cpu_per_gb_small`] = cpu("small_x1");
  return figures;
}

/** Most memory of a server while it sent to eight, in MiB. */
function peak(rounds: readonly Round[]): number {
  return medianOf(rounds, ({ peakMib }) => peakMib);
}

/** Kagami against Spegel, both from a containerd. */
async function againstSpegel(load: string): Promise<Figures> {
  if (REQUIRES_SPEGEL.ignore) return {};
  say("starting Kagami and Spegel, each with a containerd");
  const sizes = [largeSize, 64 * MB, MB];
  await using pair = await startContainerdServers(sizes);
  const [large, medium, small] = pair.layers as [string, string, string];
  const contents = { large, medium, small, manifest: pair.manifest };
  const measured = Object.entries(pair.servers).map(([name, server]) => [
    name,
    async (round: number) => {
      say(`round ${round + 1} of ${rounds}, from containerd: ${name}`);
      return await measureServer(server, contents, load);
    },
  ]);
  const results = await alternate<string, Round>(rounds, Object.fromEntries(measured));
  tables(results);
  const { kagami, spegel } = results;
  return { ...ratios(kagami!, spegel!, "spegel_"), spegel_rss_mib: peak(kagami!) };
}

async function main(): Promise<void> {
  if (!await isOnPath("go")) {
    say("go is not on PATH: neither the load generator nor the baseline can be built");
    return sayFigures("serve", {});
  }
  await using stack = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "kagami-bench-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const load = await buildGo("load", folder);
  const candidates = await servers(folder);
  say("writing contents");
  const layout = await LayoutWriter.create(`${folder}/layout`);
  const contents = {
    large: await layout.addBlob(largeSize),
    medium: await layout.addBlob(64 * MB),
    small: await layout.addBlob(MB),
    manifest: await layout.addManifest("bench", 4096),
  };

  const measured = Object.entries(candidates).map(([name, start]) => [
    name,
    async (round: number) => {
      say(`round ${round + 1} of ${rounds}: ${name}`);
      const own = await Deno.makeTempDir({ dir: folder });
      await using server = await start(layout, own);
      return await measureServer(server, contents, load);
    },
  ]);
  const results = await alternate<string, Round>(rounds, Object.fromEntries(measured));
  tables(results);
  const { kagami, tls, go, go_tls: goTls, nginx } = results;
  const first = kagami!.map(({ firstServeSeconds }) => firstServeSeconds);
  sayFigures("serve", {
    ...ratios(kagami!, go!, ""),
    first_serve: medianOf(kagami!, ({ firstServeRatio }) => firstServeRatio),
    first_serve_s_per_gb: median(first) / (largeSize / GB),
    ...ratios(tls!, kagami!, "tls_"),
    ...ratios(goTls!, go!, "go_tls_"),
    ...ratios(tls!, goTls!, "tls_to_go_"),
    rss_mib: peak(kagami!),
    tls_rss_mib: peak(tls!),
    go_tls_rss_mib: peak(goTls!),
    idle_rss_mib: medianOf(kagami!, ({ idleMib }) => idleMib),
    ...(nginx === undefined ? {} : { ...ratios(nginx, go!, "nginx_"), nginx_rss_mib: peak(nginx) }),
    ...await againstSpegel(load),
  });
}

await main();
