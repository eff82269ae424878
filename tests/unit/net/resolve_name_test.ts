import assert from "node:assert/strict";
import { isIP } from "node:net";
import { resolveName } from "../../../lib/net/resolve_name.ts";

Deno.test("resolveName() finds the addresses of this machine", async () => {
  const addresses = await resolveName("localhost", new AbortController().signal);
  assert.ok(addresses.length > 0);
  for (const address of addresses) {
    assert.notEqual(isIP(address), 0);
    assert.match(address, /^(127\.|::1$)/);
  }
});

Deno.test("resolveName() takes an address for its own name", async () => {
  assert.deepEqual(await resolveName("127.0.0.2", new AbortController().signal), ["127.0.0.2"]);
});

Deno.test({
  name: "resolveName() ends with its signal, and tells why",
  // The system's resolver goes on; nothing can stop it.
  sanitizeOps: false,
  fn: async () => {
    const reason = new Error("stopped");
    const resolving = resolveName("localhost", AbortSignal.abort(reason));
    await assert.rejects(resolving, (error) => error === reason);
  },
});
