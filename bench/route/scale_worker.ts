/**
 * Some of Kagami's routers in one process, for the measurement with many nodes. Takes one JSON command a line on standard
 * input, answers each with one JSON line, and ends with its input. {@linkcode measureScale} is the other side.
 *
 *     deno run -A bench/route/scale_worker.ts '{"nodes":20,"bootstrapPort":5001}'
 *
 * @module
 */
import { freePort } from "../../tests/unit/support/free_port.ts";
import { TextLineStream } from "../support/lines.ts";
import { memoryUsage } from "../support/process_usage.ts";
import { keysOf, type RouteNode, startRouteNode } from "../support/route_nodes.ts";

/** How a worker is started. */
export interface ScaleOptions {
  /** Number of routers. */
  readonly nodes: number;
  /** Port of the router that all start from. */
  readonly bootstrapPort: number;
  /** Whether that is one of these. */
  readonly isFirst: boolean;
}

/** What a worker can be told. */
export type ScaleCommand =
  | { readonly name: "start" }
  /** Number of peers that the node which knows fewest knows. */
  | { readonly name: "peers" }
  /** Lets its first node announce keys of an owner. */
  | { readonly name: "advertise"; readonly owner: string; readonly count: number }
  /** Lets its last node look up every `step`th of an owner's keys, one after the other. */
  | {
    readonly name: "lookup";
    readonly owner: string;
    readonly count: number;
    readonly step: number;
  };

/** What it answers. Times in milliseconds. */
export interface ScaleAnswer {
  readonly value: number;
  readonly milliseconds?: readonly number[];
}

const nodes: RouteNode[] = [];

async function startAll({ nodes: count, bootstrapPort, isFirst }: ScaleOptions): Promise<void> {
  if (isFirst) {
    nodes.push(await startRouteNode({ kind: "kagami", port: bootstrapPort, bootstrapPort }));
  }
  while (nodes.length < count) {
    nodes.push(await startRouteNode({ kind: "kagami", port: freePort(), bootstrapPort }));
  }
}

async function lookUp(node: RouteNode, keys: readonly string[]): Promise<ScaleAnswer> {
  const milliseconds: number[] = [];
  let found = 0;
  for (const key of keys) {
    const startedAt = performance.now();
    if (await node.hasProvider(key)) found += 1;
    milliseconds.push(performance.now() - startedAt);
  }
  return { value: found, milliseconds };
}

async function carryOut(command: ScaleCommand, options: ScaleOptions): Promise<ScaleAnswer> {
  switch (command.name) {
    case "start":
      await startAll(options);
      return { value: nodes.length };
    case "peers":
      return { value: Math.min(...await Promise.all(nodes.map((node) => node.peers()))) };
    case "advertise":
      await nodes[0]!.advertise(keysOf(command.owner, command.count));
      return { value: command.count };
    case "lookup": {
      const keys = keysOf(command.owner, command.count);
      return await lookUp(nodes.at(-1)!, keys.filter((_, index) => index % command.step === 0));
    }
  }
}

if (import.meta.main) {
  const options = JSON.parse(Deno.args[0] ?? "{}") as ScaleOptions;
  const say = (answer: ScaleAnswer) =>
    void Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(answer) + "\n"));
  // What the process takes without any node.
  say({ value: (await memoryUsage(Deno.pid)).rssMib });
  const lines = Deno.stdin.readable
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream());
  for await (const line of lines) say(await carryOut(JSON.parse(line), options));
  Deno.exit(0);
}
