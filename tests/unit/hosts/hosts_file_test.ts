import assert from "node:assert/strict";
import { parse } from "smol-toml";
import { ConfigError } from "../../../lib/errors.ts";
import {
  formatHostsFile,
  parseHostsFile,
  prependHostsFile,
} from "../../../lib/hosts/hosts_file.ts";

const MIRROR = { mirrorTargets: ["http://127.0.0.1:5000"], resolveTags: true };

const OURS = `[host.'http://127.0.0.1:5000']
capabilities = ['pull', 'resolve']
dial_timeout = '200ms'`;

/** Parsed TOML as plain objects, for comparisons. */
function plain(toml: string): Record<string, Record<string, unknown>> {
  return JSON.parse(JSON.stringify(parse(toml)));
}

function existing(text: string | undefined, ...files: string[]) {
  return { path: "certs.d/docker.io/hosts.toml", text, files };
}

Deno.test("formatHostsFile() writes Spegel's text for several mirrors", () => {
  const mirrorTargets = [
    "http://127.0.0.1:5000",
    "http://127.0.0.2:5000",
    "http://127.0.0.1:5001",
  ];
  assert.equal(
    formatHostsFile({ mirrorTargets, resolveTags: true, registryUrl: "http://foo.bar:5000" }),
    `server = 'http://foo.bar:5000'

[host.'http://127.0.0.1:5000']
capabilities = ['pull', 'resolve']
dial_timeout = '200ms'

[host.'http://127.0.0.2:5000']
capabilities = ['pull', 'resolve']
dial_timeout = '200ms'

[host.'http://127.0.0.1:5001']
capabilities = ['pull', 'resolve']
dial_timeout = '200ms'`,
  );
});

Deno.test("formatHostsFile() leaves the server out for all registries", () => {
  assert.equal(formatHostsFile(MIRROR), OURS);
});

Deno.test("formatHostsFile() names Docker Hub's real server, and pull alone without tags", () => {
  assert.equal(
    formatHostsFile({ ...MIRROR, resolveTags: false, registryUrl: "https://docker.io" }),
    `server = 'https://registry-1.docker.io'

[host.'http://127.0.0.1:5000']
capabilities = ['pull']
dial_timeout = '200ms'`,
  );
});

Deno.test("formatHostsFile() sends credentials to each mirror", () => {
  assert.equal(
    formatHostsFile({
      mirrorTargets: ["http://127.0.0.1:5000", "http://127.0.0.1:5001"],
      resolveTags: true,
      registryUrl: "http://foo.bar:5000",
      authorization: "Basic aGVsbG86d29ybGQ=",
    }),
    `server = 'http://foo.bar:5000'

[host.'http://127.0.0.1:5000']
capabilities = ['pull', 'resolve']
dial_timeout = '200ms'
[host.'http://127.0.0.1:5000'.header]
Authorization = 'Basic aGVsbG86d29ybGQ='

[host.'http://127.0.0.1:5001']
capabilities = ['pull', 'resolve']
dial_timeout = '200ms'
[host.'http://127.0.0.1:5001'.header]
Authorization = 'Basic aGVsbG86d29ybGQ='`,
  );
});

Deno.test("prependHostsFile() puts ours before the operator's mirrors and keeps their order", () => {
  const text = prependHostsFile(
    { ...MIRROR, registryUrl: "https://docker.io" },
    existing(`# company mirrors
server = 'https://registry-1.docker.io'

[host.'http://example.com:30020']
capabilities = ['pull', 'resolve']
client = ['/etc/certs/xxx/client.cert', '/etc/certs/xxx/client.key']

[host.'http://bar.com:30020']
capabilities = ['pull']`),
  );
  assert.equal(
    text,
    `server = "https://registry-1.docker.io"

${OURS}

[host."http://example.com:30020"]
capabilities = [ "pull", "resolve" ]
client = [ "/etc/certs/xxx/client.cert", "/etc/certs/xxx/client.key" ]

[host."http://bar.com:30020"]
capabilities = [ "pull" ]`,
  );
});

Deno.test("prependHostsFile() keeps every setting of the operator", () => {
  const operator = `server = "https://upstream.example"
ca = "/etc/certs/ca.crt"
skip_verify = true

[header]
x-team = ["a", "b"]

[host."https://mirror.example/v2/proxy"]
capabilities = ["pull"]
override_path = true
skip_verify = false
ca = ["a.crt", "b.crt"]
client = [["c.crt", "c.key"]]
[host."https://mirror.example/v2/proxy".header]
Authorization = "Bearer x"

[host."http://empty.example"]
`;
  const { host, ...root } = plain(
    prependHostsFile({ ...MIRROR, registryUrl: "https://docker.io" }, existing(operator)),
  );
  const { host: operatorHost, ...operatorRoot } = plain(operator);
  assert.deepEqual(root, operatorRoot);
  assert.deepEqual(host, { ...plain(OURS)["host"], ...operatorHost });
  assert.deepEqual(Object.keys(host ?? {}), [
    "http://127.0.0.1:5000",
    "https://mirror.example/v2/proxy",
    "http://empty.example",
  ]);
});

Deno.test("prependHostsFile() does not repeat a mirror that is there already", () => {
  const text = prependHostsFile(MIRROR, existing(`[host."http://127.0.0.1:5000"]\nca = "old"\n`));
  assert.equal(text, OURS);
});

Deno.test("prependHostsFile() adds the server where the operator names none", () => {
  const text = prependHostsFile(
    { ...MIRROR, registryUrl: "https://docker.io" },
    existing(`[host."http://a"]\nca = "a.crt"`),
  );
  assert.ok(text.startsWith("server = 'https://registry-1.docker.io'\n\n[host.'http://127"));
});

Deno.test("prependHostsFile() without a hosts.toml names the certificates beside it", () => {
  const text = prependHostsFile(
    { ...MIRROR, registryUrl: "https://ghcr.io" },
    existing(undefined, "ca.crt", "client.cert", "client.key", "lonely.cert", "README"),
  );
  const { ca, client, server } = parse(text);
  assert.deepEqual(ca, ["ca.crt"]);
  assert.deepEqual(client, [["client.cert", "client.key"]]);
  assert.equal(server, "https://ghcr.io");
});

Deno.test("prependHostsFile() refuses a file that is not TOML and names it", () => {
  assert.throws(
    () => prependHostsFile(MIRROR, existing("server = \n[host")),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /^certs\.d\/docker\.io\/hosts\.toml is not TOML/);
      assert.ok(error.message.includes("PREPEND_EXISTING"));
      assert.ok(!error.message.includes("\n"));
      return true;
    },
  );
});

Deno.test("parseHostsFile() reads back what formatHostsFile() writes, in its order", () => {
  const mirrorTargets = ["http://10.0.0.1:5000", "http://[fd99::1]:5000"];
  const text = formatHostsFile({
    registryUrl: "https://docker.io",
    mirrorTargets,
    resolveTags: false,
    authorization: "Basic dTpw",
  });
  assert.deepEqual(
    parseHostsFile(text),
    mirrorTargets.map((url) => ({ url, capabilities: ["pull"], authorization: "Basic dTpw" })),
  );
});

Deno.test("parseHostsFile() knows containerd's defaults, and refuses what is not TOML", () => {
  assert.deepEqual(parseHostsFile("server = 'https://a'"), []);
  assert.deepEqual(parseHostsFile("host = 1"), []);
  assert.deepEqual(parseHostsFile("[host.'http://a']\nheader = {Authorization = ['x', 'y']}"), [
    { url: "http://a", capabilities: ["pull", "resolve", "push"], authorization: "x" },
  ]);
  assert.throws(() => parseHostsFile("[host."), ConfigError);
});
