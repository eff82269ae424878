import assert from "node:assert/strict";
import { isForeign } from "../../../lib/debug/same_origin.ts";

function foreign(headers: Readonly<Record<string, string>>): boolean {
  return isForeign((name) => headers[name]);
}

Deno.test("isForeign() lets the page itself and programs pass", () => {
  const host = "10.0.0.1:9090";
  assert.equal(foreign({ host }), false);
  assert.equal(foreign({ host, origin: "http://10.0.0.1:9090" }), false);
  assert.equal(foreign({ host: "NODE.example", origin: "https://node.example" }), false);
  assert.equal(foreign({ host: "[fd00::1]:9090", origin: "http://[fd00::1]:9090" }), false);
  // Behind a proxy that gives another host.
  const proxied = { host: "api-server", origin: "http://localhost:8001" };
  assert.equal(foreign({ ...proxied, "sec-fetch-site": "same-origin" }), false);
});

Deno.test("isForeign() finds other origins", () => {
  const host = "10.0.0.1:9090";
  for (const origin of ["http://evil.example", "http://10.0.0.1:8080", "null", "", "odd"]) {
    assert.equal(foreign({ host, origin }), true, origin);
  }
  assert.equal(foreign({ origin: "http://10.0.0.1:9090" }), true, "no host");
  for (const site of ["cross-site", "same-site", "none", ""]) {
    const headers = { host, origin: `http://${host}`, "sec-fetch-site": site };
    assert.equal(foreign(headers), true, site);
  }
});
