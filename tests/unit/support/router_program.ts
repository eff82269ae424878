/**
 * A program that joins a cluster, uses it, leaves it and has nothing more to do. It must end by itself.
 *
 * Arguments: the key to look up, then the addresses to start from.
 *
 * @module
 */
import { silentLogger } from "../../../lib/observability/logger.ts";
import { StaticBootstrapper } from "../../../lib/routing/bootstrap/static.ts";
import { createLibp2pRouter } from "../../../lib/routing/libp2p/libp2p_router.ts";
import { eventually } from "./eventually.ts";

const [key = "", ...bootstrap] = Deno.args;
const router = await createLibp2pRouter({
  listenAddr: { host: "127.0.0.1", port: 0 },
  registryPort: 5000,
  bootstrapper: new StaticBootstrapper(bootstrap),
  log: silentLogger,
});
await router.advertise(["of the program"]);
const found = await eventually("the key is found", async () => {
  for await (const { id } of router.lookup(key)) return id;
  return undefined;
});
await router.stop();
await Deno.stdout.write(new TextEncoder().encode(found));
