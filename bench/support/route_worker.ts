/**
 * A node of the routing benchmark as a process of its own. Takes one JSON command a line on standard input,
 * answers each with one JSON line, and ends with its input. {@linkcode RouteProcess} is the other side.
 *
 *     deno run -A bench/support/route_worker.ts '{"kind":"kagami","port":5001,"bootstrapPort":5001}'
 *
 * @module
 */
import { TextLineStream } from "./lines.ts";
import { keysOf, type RouteNodeOptions, startRouteNode } from "./route_nodes.ts";

/** What a worker can be told. */
export type RouteCommand =
  | { readonly name: "peers" }
  /** Announces keys `from` up to `to` of an owner. */
  | {
    readonly name: "advertise";
    readonly owner: string;
    readonly from: number;
    readonly to: number;
  }
  /** Looks up some keys of an owner, one after the other. */
  | { readonly name: "lookup"; readonly owner: string; readonly indexes: readonly number[] };

/** What it answers: `peers` and `advertise` a number, `lookup` what {@linkcode Lookups} says. */
export type RouteAnswer = { readonly value: number } | Lookups | { readonly error: string };

/** Lookups one after the other. */
export interface Lookups {
  readonly found: number;
  /** How long each of them took, in milliseconds. */
  readonly milliseconds: readonly number[];
}

if (import.meta.main) {
  const options = JSON.parse(Deno.args[0] ?? "{}") as RouteNodeOptions;
  const node = await startRouteNode(options);
  const say = (answer: RouteAnswer) =>
    void Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(answer) + "\n"));
  say({ value: options.port });

  // Made once: while it is asked again and again whether a key is known, making keys would cost more than the answer.
  const made = new Map<string, string[]>();
  const keysUpTo = (owner: string, count: number): string[] => {
    let keys = made.get(owner);
    if (keys === undefined || keys.length < count) made.set(owner, keys = keysOf(owner, count));
    return keys;
  };

  const carryOut = async (command: RouteCommand): Promise<RouteAnswer> => {
    switch (command.name) {
      case "peers":
        return { value: await node.peers() };
      case "advertise": {
        const keys = keysUpTo(command.owner, command.to).slice(command.from, command.to);
        await node.advertise(keys);
        return { value: keys.length };
      }
      case "lookup": {
        const keys = keysUpTo(command.owner, Math.max(...command.indexes) + 1);
        const milliseconds: number[] = [];
        let found = 0;
        for (const index of command.indexes) {
          const startedAt = performance.now();
          if (await node.hasProvider(keys[index]!)) found += 1;
          milliseconds.push(performance.now() - startedAt);
        }
        return { found, milliseconds };
      }
    }
  };

  const lines = Deno.stdin.readable
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream());
  for await (const line of lines) {
    try {
      say(await carryOut(JSON.parse(line)));
    } catch (error) {
      say({ error: String(error) });
    }
  }
  await node.stop();
  Deno.exit(0);
}
