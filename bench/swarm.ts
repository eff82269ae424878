/**
 * How much faster a blob comes from three peers whose uplinks are capped than from one of them. Real nodes in network
 * namespaces, capped by `tc`; root is needed. docs/benchmarks.md says what the figures mean.
 *
 *     deno task bench:swarm [--rounds=3] [--size-mb=500] [--uplink-mb=100]
 *
 * @module
 */
import {
  inside,
  type NetworkNode,
  runInside,
  TestNetwork,
} from "../tests/integration/harness/network.ts";
import { MAIN } from "../tests/integration/harness/mirror_process.ts";
import { ManagedProcess, run } from "../tests/integration/harness/process.ts";
import { eventually } from "../tests/unit/support/eventually.ts";
import { alternate } from "./support/alternate.ts";
import { numberArgument } from "./support/arguments.ts";
import { LayoutWriter } from "./support/layout.ts";
import { memoryUsage, withChildren } from "./support/process_usage.ts";
import { say, sayFigures, sayTable } from "./support/report.ts";
import { REPOSITORY } from "./support/service.ts";
import { median } from "./support/statistics.ts";

const MB = 1_000_000;
const PEERS = 3;

const rounds = numberArgument("rounds", 3);
const size = numberArgument("size-mb", 500) * MB;
const uplinkMb = numberArgument("uplink-mb", 100);

/** A node that serves a layout. */
interface SwarmNode extends AsyncDisposable {
  readonly network: NetworkNode;
  readonly process: ManagedProcess;
  readonly layout: LayoutWriter;
}

async function startNode(
  network: NetworkNode,
  folder: string,
  bootstrap: NetworkNode,
): Promise<SwarmNode> {
  await Deno.mkdir(folder);
  const layout = await LayoutWriter.create(`${folder}/layout`);
  const process = await ManagedProcess.start(
    network.name,
    `${folder}/log`,
    "ip",
    inside(
      network,
      ...[Deno.execPath(), "run", "-A", "--no-check", MAIN, "registry"],
      ...["--store=oci-layout", `--oci-layout-path=${layout.path}`],
      ...[`--oci-layout-repository=${REPOSITORY}`, `--basic-auth-dir=${folder}/none`],
      `--static-bootstrap-peers=${bootstrap.ip}:5001`,
    ),
  );
  return { network, process, layout, [Symbol.asyncDispose]: () => process.stop() };
}

/** Caps what a node sends. */
async function capUplink(node: NetworkNode): Promise<void> {
  const rate = ["rate", `${uplinkMb * 8}mbit`, "burst", "512kb", "latency", "50ms"];
  await run(
    "ip",
    ...inside(node, ...["tc", "qdisc", "add", "dev", "eth0", "root", "tbf"], ...rate),
  );
}

function blobUrl(node: NetworkNode, digest: string): string {
  const [registry, ...repository] = REPOSITORY.split("/");
  return `http://${node.ip}:5000/v2/${repository.join("/")}/blobs/${digest}?ns=${registry}`;
}

/** Fetches a blob through the node's own mirror, as containerd does. */
async function fetchSeconds(node: NetworkNode, digest: string): Promise<number> {
  const startedAt = performance.now();
  const { code, stdout } = await runInside(
    node,
    ...["curl", "-s", "-f", "-o", "/dev/null", "-w", "%{size_download}", blobUrl(node, digest)],
  );
  if (code !== 0 || Number(stdout) !== size) throw new Error(`fetch failed: ${code} ${stdout}`);
  return (performance.now() - startedAt) / 1000;
}

await using stack = new AsyncDisposableStack();
const folder = await Deno.makeTempDir({ prefix: "kagami-bench-" });
stack.defer(() => Deno.remove(folder, { recursive: true }));
const network = stack.use(await TestNetwork.create());
const hosts: NetworkNode[] = [];
for (let number = 0; number <= PEERS; number++) hosts.push(await network.addNode(`n${number}`));
const [requester, ...peers] = await Promise.all(
  hosts.map((host) => startNode(host, `${folder}/${host.name}`, hosts[0]!)),
);
if (requester === undefined) throw new Error("no requester");
for (const node of [requester, ...peers]) stack.use(node);

say(`${PEERS} peers with ${uplinkMb} MB/s each, a blob of ${size / MB} MB`);
const [first] = peers;
const single = await first!.layout.addBlob(size);
const shared = await first!.layout.addBlob(size);
for (const { layout } of peers.slice(1)) {
  await Deno.copyFile(first!.layout.blobPath(shared), layout.blobPath(shared));
}
for (const { network } of peers) {
  for (const digest of network === first!.network ? [single, shared] : [shared]) {
    // Verified once, and known to the requester.
    const url = blobUrl(network, digest);
    await eventually(`${network.name} has ${digest}`, async () => {
      const peer = ["-H", "X-Spegel-Mirrored: true", "-o", "/dev/null", "-w", "%{http_code}"];
      return (await runInside(network, "curl", "-s", ...peer, url)).stdout === "200";
    });
  }
}
const known = new Set<string>();
await eventually("the requester knows all peers", async () => {
  const url = blobUrl(requester.network, shared);
  const { stdout } = await runInside(requester.network, "curl", "-s", "-I", url);
  known.add(/x-kagami-source: (.*)\r/i.exec(stdout)?.[1] ?? "none");
  return [...known].filter((source) => source.startsWith("peer")).length === PEERS;
});
await eventually("the requester knows who has the single one", async () => {
  const url = blobUrl(requester.network, single);
  const { stdout } = await runInside(requester.network, "curl", "-s", "-I", url);
  return stdout.startsWith("HTTP/1.1 200");
});
for (const { network } of peers) await capUplink(network);

const seconds = await alternate(rounds, {
  one: () => fetchSeconds(requester.network, single),
  three: () => fetchSeconds(requester.network, shared),
});
const one = median(seconds.one);
const three = median(seconds.three);
const pids = await withChildren(requester.process.pid);
const peaks = await Promise.all(pids.map(memoryUsage));
const rssMib = Math.max(...peaks.map(({ peakMib }) => peakMib));
sayTable(["from", "seconds", "MB/s"], [
  ["one peer", one.toFixed(2), (size / MB / one).toFixed(0)],
  ["three peers", three.toFixed(2), (size / MB / three).toFixed(0)],
]);
sayFigures("swarm", {
  speedup: one / three,
  one_mb_s: size / MB / one,
  three_mb_s: size / MB / three,
  rss_mib: rssMib,
});
