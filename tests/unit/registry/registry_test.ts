import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { UnavailableError } from "../../../lib/errors.ts";
import { type Digest, parseDigest, sha256Digest } from "../../../lib/oci/digest.ts";
import {
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  OCI_INDEX,
  OCI_MANIFEST,
  OCTET_STREAM,
} from "../../../lib/oci/media_types.ts";
import { basicAuthorization } from "../../../lib/registry/basic_auth.ts";
import { MAX_REQUEST_HEAD_BYTES } from "../../../lib/registry/registry_server.ts";
import { BytesReader } from "../support/bytes_reader.ts";
import { makeContent, type TestContent } from "../support/content.ts";
import { type RawAnswer, RawClient } from "../support/raw_client.ts";
import { type RegistryNode, startRegistryNode } from "../support/registry_node.ts";
import { TrackedStore } from "../support/tracked_store.ts";

const BLOB = makeContent(100_000);
const ABSENT = `sha256:${"0".repeat(64)}` as Digest;
const BLOB_TARGET = blobTarget(BLOB.digest);
const encoder = new TextEncoder();

function blobTarget(digest: string): string {
  return `/v2/library/test/blobs/${digest}?ns=docker.io`;
}

function manifestTarget(tagOrDigest: string): string {
  return `/v2/library/test/manifests/${tagOrDigest}?ns=docker.io`;
}

/** One document of each media type. */
const DOCUMENTS = [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_MANIFEST_LIST]
  .map((mediaType) => {
    const parts = mediaType === OCI_INDEX || mediaType === DOCKER_MANIFEST_LIST
      ? { manifests: [] }
      : { config: { mediaType: OCTET_STREAM, digest: BLOB.digest, size: 100_000 }, layers: [] };
    const bytes = encoder.encode(JSON.stringify({ schemaVersion: 2, mediaType, ...parts }));
    return { mediaType, bytes, digest: sha256Digest(bytes) };
  });
const MANIFEST = DOCUMENTS[0]!;

/** A node that holds the blob, and each of the documents under a tag and by digest. */
async function startNode(
  options: Parameters<typeof startRegistryNode>[0] = {},
): Promise<RegistryNode> {
  const node = await startRegistryNode(options);
  node.store.put(BLOB.bytes);
  for (const [index, { bytes }] of DOCUMENTS.entries()) {
    node.store.tag(`docker.io/library/test:v${index + 1}`, node.store.put(bytes));
  }
  return node;
}

function sha512(bytes: Uint8Array): Digest {
  return parseDigest(`sha512:${createHash("sha512").update(bytes).digest("hex")}`);
}

/** Asserts that an answer is an error as the distribution specification wants it. */
function assertError(answer: RawAnswer, status: number, code: string): void {
  assert.equal(answer.status, status);
  assert.equal(answer.headers.get("content-type"), "application/json");
  assert.equal(answer.headers.get("docker-distribution-api-version"), "registry/2.0");
  const document = JSON.parse(new TextDecoder().decode(answer.body));
  assert.equal(document.errors.length, 1);
  assert.equal(document.errors[0].code, code);
  assert.equal(typeof document.errors[0].message, "string");
  assert.notEqual(document.errors[0].message, "");
}

/** The headers of an answer without those that differ from one time to the next. */
function stableHeaders({ headers }: RawAnswer): Record<string, string> {
  const { date: _date, ...stable } = Object.fromEntries(headers);
  return stable;
}

Deno.test("Registry answers /v2/ and /v2, by which clients find out that it is one", async () => {
  await using node = await startNode();
  for (const target of ["/v2/", "/v2", "/v2/?ns=docker.io"]) {
    const answer = await node.request("GET", target);
    assert.equal(answer.status, 200);
    assert.equal(new TextDecoder().decode(answer.body), "{}");
    assert.equal(answer.headers.get("content-type"), "application/json");
    assert.equal(answer.headers.get("docker-distribution-api-version"), "registry/2.0");
    const head = await node.request("HEAD", target);
    assert.deepEqual(stableHeaders(head), stableHeaders(answer));
  }
});

for (const [index, { mediaType, bytes, digest }] of DOCUMENTS.entries()) {
  Deno.test(`Registry serves ${mediaType} by tag and by digest, to GET and HEAD`, async () => {
    await using node = await startNode();
    for (const last of [`v${index + 1}`, digest]) {
      const answer = await node.request("GET", manifestTarget(last));
      assert.equal(answer.status, 200);
      assert.deepEqual(answer.body, bytes);
      const { headers } = answer;
      assert.equal(headers.get("content-type"), mediaType);
      assert.equal(headers.get("content-length"), String(bytes.length));
      assert.equal(headers.get("docker-content-digest"), digest);
      assert.equal(headers.get("etag"), `"${digest}"`);
      assert.equal(headers.get("docker-distribution-api-version"), "registry/2.0");
      assert.equal(headers.get("oci-namespace"), "docker.io");
      assert.equal(headers.get("x-kagami-source"), "local");
      assert.equal(headers.has("transfer-encoding"), false);
      const head = await node.request("HEAD", manifestTarget(last));
      assert.equal(head.status, 200);
      assert.deepEqual(stableHeaders(head), stableHeaders(answer));
    }
    assert.deepEqual(node.lookups, [], "peers are asked only for what is not here");
  });
}

Deno.test("Registry serves a blob to GET and HEAD", async () => {
  await using node = await startNode();
  const answer = await node.request("GET", BLOB_TARGET);
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body, new Uint8Array(BLOB.bytes));
  assert.equal(answer.headers.get("content-type"), OCTET_STREAM);
  assert.equal(answer.headers.get("content-length"), String(BLOB.bytes.length));
  assert.equal(answer.headers.get("accept-ranges"), "bytes");
  assert.equal(answer.headers.get("docker-content-digest"), BLOB.digest);
  assert.equal(answer.headers.get("etag"), `"${BLOB.digest}"`);
  assert.equal(answer.headers.has("content-range"), false);
  const head = await node.request("HEAD", BLOB_TARGET);
  assert.equal(head.status, 200);
  assert.deepEqual(stableHeaders(head), stableHeaders(answer));
  assert.equal(node.store.openReaders.size, 0);
});

Deno.test("Registry serves blobs of one byte, of one buffer and of many, each of them whole", async () => {
  await using node = await startNode();
  const MiB = 1024 * 1024;
  for (const size of [1, 256 * 1024, 256 * 1024 + 1, MiB, MiB + 1, 5 * MiB + 7]) {
    const { bytes, digest } = makeContent(size, 3);
    node.store.put(bytes);
    const { status, body } = await node.request("GET", blobTarget(digest));
    assert.equal(status, 200);
    assert.equal(body.length, size);
    assert.equal(sha256Digest(body), digest);
  }
});

Deno.test("Registry serves an empty blob", async () => {
  await using node = await startNode();
  const digest = node.store.put(new Uint8Array(0));
  for (const method of ["GET", "HEAD"]) {
    const answer = await node.request(method, blobTarget(digest));
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-length"), "0");
    assert.equal(answer.headers.get("docker-content-digest"), digest);
  }
  const answer = await node.request("GET", blobTarget(digest), { Range: "bytes=0-" });
  assertError(answer, 416, "UNSUPPORTED");
  assert.equal(answer.headers.get("content-range"), "bytes */0");
  assert.equal(node.store.openReaders.size, 0);
});

Deno.test("Registry serves content by its sha512 digest", async () => {
  await using node = await startNode();
  for (const [kind, { bytes }] of [["blobs", BLOB], ["manifests", MANIFEST]] as const) {
    const digest = sha512(bytes);
    node.store.put(bytes, [], digest);
    const answer = await node.request("GET", `/v2/app/${kind}/${digest}`);
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.body, new Uint8Array(bytes));
    assert.equal(answer.headers.get("docker-content-digest"), digest);
    assert.equal(answer.headers.get("etag"), `"${digest}"`);
  }
});

Deno.test("Registry says in the specification's words what nobody has", async () => {
  await using node = await startNode();
  const cases = [
    [manifestTarget("v9"), "MANIFEST_UNKNOWN", "docker.io/library/test:v9"],
    [manifestTarget(ABSENT), "MANIFEST_UNKNOWN", ABSENT],
    [blobTarget(ABSENT), "BLOB_UNKNOWN", ABSENT],
  ] as const;
  for (const [target, code, key] of cases) {
    const answer = await node.request("GET", target);
    assertError(answer, 404, code);
    assert.deepEqual(JSON.parse(new TextDecoder().decode(answer.body)).errors[0].detail, { key });
    const head = await node.request("HEAD", target);
    assert.equal(head.status, 404);
    assert.equal(head.headers.get("content-length"), answer.headers.get("content-length"));
  }
  assert.deepEqual(node.lookups, cases.flatMap(([, , key]) => [key, key]));
});

Deno.test("Registry does not serve a layer as a manifest", async () => {
  await using node = await startNode();
  node.store.tag("docker.io/library/test:layer", BLOB.digest);
  for (const last of [BLOB.digest, "layer"]) {
    assertError(await node.request("GET", manifestTarget(last)), 404, "MANIFEST_UNKNOWN");
    assert.equal((await node.request("HEAD", manifestTarget(last))).status, 404);
  }
});

const RANGES: readonly (readonly [string, number, number])[] = [
  ["bytes=0-0", 0, 0],
  ["bytes=5-99", 5, 99],
  ["bytes=99000-", 99_000, 99_999],
  ["bytes=99999-", 99_999, 99_999],
  ["bytes=0-", 0, 99_999],
  ["bytes=99000-1000000", 99_000, 99_999],
  ["bytes=-100", 99_900, 99_999],
  ["bytes=-1000000", 0, 99_999],
];
for (const [range, start, end] of RANGES) {
  Deno.test(`Registry sends bytes ${start} to ${end} of a blob for Range ${range}`, async () => {
    await using node = await startNode();
    const answer = await node.request("GET", BLOB_TARGET, { Range: range });
    assert.equal(answer.status, 206);
    assert.deepEqual(answer.body, BLOB.bytes.slice(start, end + 1));
    assert.equal(answer.headers.get("content-range"), `bytes ${start}-${end}/100000`);
    assert.equal(answer.headers.get("content-length"), String(end - start + 1));
    assert.equal(answer.headers.get("content-type"), OCTET_STREAM);
    assert.equal(answer.headers.get("docker-content-digest"), BLOB.digest);
    assert.equal(answer.headers.get("accept-ranges"), "bytes");
  });
}

for (const range of ["bytes=100000-", "bytes=100000-100001", "bytes=-0"]) {
  Deno.test(`Registry answers 416 with the size of the blob to Range ${range}`, async () => {
    await using node = await startNode();
    const answer = await node.request("GET", BLOB_TARGET, { Range: range });
    assertError(answer, 416, "UNSUPPORTED");
    assert.equal(answer.headers.get("content-range"), "bytes */100000");
    assert.deepEqual(node.lookups, [], "a peer has no other bytes of the same content");
    assert.equal(node.store.opened, 0);
  });
}

for (
  const range of ["bytes=0-1,5-6", "bytes=5-2", "bytes=-", "bytes=abc", "items=0-1", "0-1", "bytes"]
) {
  Deno.test(`Registry sends the whole blob for Range ${range}, which it may ignore`, async () => {
    await using node = await startNode();
    const answer = await node.request("GET", BLOB_TARGET, { Range: range });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.has("content-range"), false);
    assert.deepEqual(answer.body, new Uint8Array(BLOB.bytes));
  });
}

Deno.test("Registry ignores Range where the specification has none: with HEAD, of manifests", async () => {
  await using node = await startNode();
  const head = await node.request("HEAD", BLOB_TARGET, { Range: "bytes=5-9" });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get("content-length"), "100000");
  assert.equal(head.headers.has("content-range"), false);
  const unsatisfiable = await node.request("HEAD", BLOB_TARGET, { Range: "bytes=100000-" });
  assert.equal(unsatisfiable.status, 200);
  const manifest = await node.request("GET", manifestTarget("v1"), { Range: "bytes=5-9" });
  assert.equal(manifest.status, 200);
  assert.deepEqual(manifest.body, MANIFEST.bytes);
  assert.equal(manifest.headers.has("accept-ranges"), false);
});

Deno.test("Registry uses Range only for the content that If-Range names", async () => {
  await using node = await startNode();
  const headers = (ifRange: string) => ({ "Range": "bytes=5-9", "If-Range": ifRange });
  const same = await node.request("GET", BLOB_TARGET, headers(`"${BLOB.digest}"`));
  assert.equal(same.status, 206);
  assert.deepEqual(same.body, BLOB.bytes.slice(5, 10));
  for (const other of [`"${ABSENT}"`, `W/"${BLOB.digest}"`, "Tue, 24 Nov 2026 20:48:17 GMT"]) {
    const answer = await node.request("GET", BLOB_TARGET, headers(other));
    assert.equal(answer.status, 200, other);
    assert.equal(answer.body.length, BLOB.bytes.length);
  }
});

Deno.test("Registry answers 304 to If-None-Match without opening the content", async () => {
  await using node = await startNode();
  const cases = [[BLOB_TARGET, BLOB.digest], [manifestTarget("v1"), MANIFEST.digest]] as const;
  for (const [target, digest] of cases) {
    for (const method of ["GET", "HEAD"]) {
      for (const sent of [`"${digest}"`, `W/"${digest}"`, `"x", "${digest}"`, "*"]) {
        const answer = await node.request(method, target, { "If-None-Match": sent });
        assert.equal(answer.status, 304, `${method} ${target} ${sent}`);
        assert.equal(answer.headers.get("etag"), `"${digest}"`);
        assert.equal(answer.headers.get("docker-content-digest"), digest);
        assert.equal(answer.headers.has("content-range"), false);
      }
      const changed = await node.request(method, target, { "If-None-Match": `"${ABSENT}"` });
      assert.equal(changed.status, 200);
    }
  }
  assert.equal(node.store.opened, 2, "only for the two GETs that were answered with 200");
});

Deno.test("Registry looks at conditions before it looks at ranges", async () => {
  await using node = await startNode();
  const outside = { Range: "bytes=100000-" };
  const unmodified = { ...outside, "If-None-Match": `"${BLOB.digest}"` };
  assert.equal((await node.request("GET", BLOB_TARGET, unmodified)).status, 304);
  const mismatched = { ...outside, "If-Match": `"${ABSENT}"` };
  assert.equal((await node.request("GET", BLOB_TARGET, mismatched)).status, 412);
});

Deno.test("Registry answers 412 where If-Match names other content", async () => {
  await using node = await startNode();
  for (const sent of [`"${BLOB.digest}"`, "*", `"x", "${BLOB.digest}"`]) {
    assert.equal((await node.request("GET", BLOB_TARGET, { "If-Match": sent })).status, 200);
  }
  for (const sent of [`"${ABSENT}"`, `W/"${BLOB.digest}"`]) {
    assertError(await node.request("GET", BLOB_TARGET, { "If-Match": sent }), 412, "UNSUPPORTED");
  }
  assert.equal(node.store.openReaders.size, 0);
});

Deno.test("Registry says that absent content is absent, whatever the conditions", async () => {
  await using node = await startNode();
  for (const condition of ["If-Match", "If-None-Match"]) {
    assertError(
      await node.request("GET", blobTarget(ABSENT), { [condition]: "*" }),
      404,
      "BLOB_UNKNOWN",
    );
  }
});

Deno.test("Registry allows no method that would change something", async () => {
  await using node = await startNode();
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]) {
    for (const target of [BLOB_TARGET, manifestTarget("v1"), "/v2/", "/v2/app/blobs/uploads/"]) {
      const answer = await node.request(method, target);
      assertError(answer, 405, "UNSUPPORTED");
      assert.equal(answer.headers.get("allow"), "GET, HEAD");
    }
  }
  assert.equal(node.store.opened, 0);
});

Deno.test("Registry finds a tag under the registry that ns names", async () => {
  await using node = await startNode({ defaultRegistry: "ghcr.io" });
  const tags = {
    "docker.io/app:v1": DOCUMENTS[0]!,
    "ghcr.io/app:v1": DOCUMENTS[1]!,
    "reg.test:5000/app:v1": DOCUMENTS[2]!,
    "[fd00::1]:5000/app:v1": DOCUMENTS[3]!,
  };
  for (const [name, { digest }] of Object.entries(tags)) node.store.tag(name, digest);
  const cases: readonly (readonly [string, keyof typeof tags])[] = [
    ["?ns=docker.io", "docker.io/app:v1"],
    ["", "ghcr.io/app:v1"],
    ["?ns=", "ghcr.io/app:v1"],
    ["?other=docker.io", "ghcr.io/app:v1"],
    ["?ns=reg.test:5000", "reg.test:5000/app:v1"],
    ["?ns=reg.test%3A5000", "reg.test:5000/app:v1"],
    ["?ns=%5Bfd00%3A%3A1%5D%3A5000", "[fd00::1]:5000/app:v1"],
    ["?ns=docker.io&ns=ghcr.io", "docker.io/app:v1"],
  ];
  for (const [query, name] of cases) {
    const answer = await node.request("GET", `/v2/app/manifests/v1${query}`);
    assert.equal(answer.status, 200, query);
    assert.equal(answer.headers.get("docker-content-digest"), tags[name].digest, query);
    assert.equal(answer.headers.get("oci-namespace"), name.slice(0, name.indexOf("/")));
  }
});

for (
  const namespace of [
    "docker.io%2Flibrary",
    "http://docker.io",
    "user@docker.io",
    "docker.io%0d%0aX-Injected:%201",
    "..%2F..",
    "docker.io%00",
    "docker.io:99999999",
    "a".repeat(300),
  ]
) {
  Deno.test(`Registry refuses ns=${namespace.slice(0, 30)} and looks nothing up`, async () => {
    await using node = await startNode();
    const answer = await node.request("GET", `/v2/app/manifests/v1?ns=${namespace}`);
    assertError(answer, 400, "NAME_INVALID");
    assert.equal(answer.headers.has("x-injected"), false);
    assert.deepEqual(node.lookups, []);
  });
}

const HOSTILE_TARGETS: readonly (readonly [string, number])[] = [
  ["/v2/../../../../etc/passwd", 404],
  ["/v2/library/test/blobs/../../../../../etc/passwd", 404],
  ["/v2/library/test/blobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404],
  ["/v2/library/test/blobs/..%2f..%2fetc%2fpasswd", 404],
  ["/v2/library/test/blobs/sha256:..%2f..%2fetc%2fpasswd", 404],
  ["/v2/..%2f..%2fetc/blobs/" + BLOB.digest, 400],
  ["/v2/library\\test\\blobs\\" + BLOB.digest, 200],
  ["/v2/library/test/blobs/" + BLOB.digest + "%00", 400],
  ["/v2/library/test/blobs/" + BLOB.digest + "/", 404],
  ["/v2/library/test/blobs/%ff", 400],
  ["/v2//library/test/blobs/" + BLOB.digest, 400],
  ["//evil.test" + BLOB_TARGET, 404],
  ["/", 404],
  ["/etc/passwd", 404],
  ["/v1/_ping", 404],
  ["/v2x/", 404],
  ["/v2/_catalog", 404],
  ["/v2/library/other/tags/list", 404],
  [`/v2/library/other/referrers/${BLOB.digest}`, 404],
  ["/v2/library/test/referrers/sha256:..%2f..%2fetc%2fpasswd", 404],
  ["/v2/library/test/referrers/v1", 400],
  ["/v2/Library/tags/list", 400],
  ["/v2/library/test/tags/list?ns=..%2f..", 400],
];
for (const [target, status] of HOSTILE_TARGETS) {
  Deno.test(`Registry answers ${status} to ${target.replace(BLOB.digest, "<digest>")}`, async () => {
    await using node = await startNode();
    assert.equal((await node.request("GET", target)).status, status);
    assert.deepEqual(node.lookups, []);
  });
}

Deno.test("Registry reads percent-encoded paths and absolute targets like plain ones", async () => {
  await using node = await startNode();
  for (
    const target of [
      BLOB_TARGET.replace("library/test", "library%2Ftest"),
      BLOB_TARGET.replace("sha256:", "sha256%3A"),
      BLOB_TARGET.replace("blobs", "%62lobs"),
      `http://mirror.test:5000${BLOB_TARGET}`,
      `${BLOB_TARGET}#fragment`,
    ]
  ) {
    assert.equal((await node.request("GET", target)).status, 200, target);
  }
});

Deno.test("Registry refuses a target that is no URL, and one that is no path", async () => {
  await using node = await startNode();
  for (const target of ["http://[/v2/", "http://mirror:99999/v2/", "*"]) {
    const answer = await node.request("OPTIONS", target);
    assert.equal(answer.status, 400, target);
  }
});

Deno.test("Registry serves names of many components", async () => {
  await using node = await startNode();
  const name = Array.from({ length: 64 }, (_, index) => `p${index}`).join("/");
  node.store.tag(`docker.io/${name}:v1`, MANIFEST.digest);
  assert.equal((await node.request("GET", `/v2/${name}/manifests/v1`)).status, 200);
  const endless = "a/".repeat(1000) + "a";
  assertError(await node.request("GET", `/v2/${endless}/manifests/v1`), 400, "NAME_INVALID");
});

Deno.test("Registry refuses a head that is too long, and lives on", async () => {
  await using node = await startNode();
  for (const part of ["target", "header"]) {
    using client = await RawClient.connect(node.port);
    const long = "a".repeat(MAX_REQUEST_HEAD_BYTES);
    if (part === "target") await client.ask("GET", `/v2/${long}`);
    else await client.ask("GET", BLOB_TARGET, { "X-Long": long });
    assert.equal((await client.receiveHead()).status, 431);
    assert.equal((await client.ended()).bytes.length, 0);
  }
  const headers = { "X-Long": "a".repeat(MAX_REQUEST_HEAD_BYTES / 2) };
  assert.equal((await node.request("HEAD", BLOB_TARGET, headers)).status, 200);
});

Deno.test("Registry neither serves nor looks up what the filters keep out", async () => {
  await using node = await startNode({
    filter: { mirroredRegistries: ["docker.io"], registryFilters: [/:v2$/, /\/private\//] },
  });
  assert.equal((await node.request("GET", manifestTarget("v1"))).status, 200);
  const refused = [
    [manifestTarget("v2"), "MANIFEST_UNKNOWN"],
    [`/v2/app/manifests/v1?ns=quay.io`, "MANIFEST_UNKNOWN"],
    [`/v2/app/blobs/${BLOB.digest}?ns=quay.io`, "BLOB_UNKNOWN"],
    [`/v2/team/private/app/blobs/${BLOB.digest}?ns=docker.io`, "BLOB_UNKNOWN"],
  ] as const;
  for (const [target, code] of refused) {
    assertError(await node.request("GET", target), 404, code);
    assert.equal((await node.request("HEAD", target)).status, 404);
  }
  assert.deepEqual(node.lookups, []);
});

const CREDENTIALS = { username: "user", password: "pass word:with colon" };

Deno.test("Registry wants credentials for everything below /v2/, and says which", async () => {
  await using node = await startNode({ credentials: CREDENTIALS });
  const wrong = basicAuthorization({ ...CREDENTIALS, password: "other" });
  for (const target of ["/v2/", BLOB_TARGET, manifestTarget("v1"), blobTarget(ABSENT)]) {
    for (const headers of [{}, { Authorization: wrong }, { Authorization: "Bearer x" }]) {
      const answer = await node.request("GET", target, headers);
      assertError(answer, 401, "UNAUTHORIZED");
      assert.equal(answer.headers.get("www-authenticate"), 'Basic realm="kagami"');
    }
    assert.equal((await node.request("HEAD", target)).status, 401);
  }
  assert.deepEqual(node.lookups, []);
  assert.equal(node.store.opened, 0);
});

Deno.test("Registry serves those who send the credentials, and probes that send none", async () => {
  await using node = await startNode({ credentials: CREDENTIALS });
  const headers = { Authorization: basicAuthorization(CREDENTIALS) };
  for (const target of ["/v2/", BLOB_TARGET, manifestTarget("v1")]) {
    assert.equal((await node.request("GET", target, headers)).status, 200);
  }
  for (const target of ["/livez", "/readyz"]) {
    assert.equal((await node.request("GET", target)).status, 200);
  }
});

Deno.test("Registry answers another mirror from its own store only, and looks nothing up", async () => {
  await using node = await startNode();
  const headers = { "X-Spegel-Mirrored": "true" };
  assert.equal((await node.request("GET", BLOB_TARGET, headers)).status, 200);
  assert.equal((await node.request("GET", manifestTarget("v1"), headers)).status, 200);
  for (const target of [blobTarget(ABSENT), manifestTarget("v9"), manifestTarget(ABSENT)]) {
    for (const method of ["GET", "HEAD"]) {
      assert.equal((await node.request(method, target, headers)).status, 404);
    }
  }
  assert.deepEqual(node.lookups, []);
});

/** A store that cannot be asked. */
function brokenStore(): TrackedStore {
  const fail = () => Promise.reject(new UnavailableError("containerd at /run/secret.sock is down"));
  return Object.assign(new TrackedStore(), { resolve: fail, descriptor: fail, open: fail });
}

Deno.test("Registry asks peers when its own store fails, unless a peer is asking", async () => {
  await using node = await startNode({ store: brokenStore() });
  assertError(await node.request("GET", BLOB_TARGET), 404, "BLOB_UNKNOWN");
  assert.deepEqual(node.lookups, [BLOB.digest]);
  const answer = await node.request("GET", BLOB_TARGET, { "X-Spegel-Mirrored": "true" });
  assertError(answer, 503, "BLOB_UNKNOWN");
  assert.doesNotMatch(new TextDecoder().decode(answer.body), /secret/);
  assert.deepEqual(node.lookups, [BLOB.digest], "the loop guard holds then, too");
});

Deno.test("Registry answers 503 when nothing can be looked up", async () => {
  // deno-lint-ignore require-yield -- a lookup that fails before its first peer
  async function* lookup() {
    await Promise.reject(new Error("no route to 10.0.0.1"));
  }
  await using node = await startNode({ router: { lookup } });
  const answer = await node.request("GET", blobTarget(ABSENT));
  assertError(answer, 503, "BLOB_UNKNOWN");
  assert.doesNotMatch(new TextDecoder().decode(answer.body), /10\.0\.0\.1/);
});

Deno.test("Registry does not believe a store that opens other content than it describes", async () => {
  const store = new TrackedStore();
  store.put(BLOB.bytes);
  const short = new BytesReader(BLOB.bytes.slice(0, 99_999));
  Object.assign(store, { open: () => Promise.resolve(store.track(short)) });
  await using node = await startNode({ store });
  assertError(await node.request("GET", BLOB_TARGET), 404, "BLOB_UNKNOWN");
  assert.deepEqual(node.lookups, [BLOB.digest]);
  assert.equal(short.closed, 1);
});

Deno.test("Registry turns a content that fails before its first byte into an error answer", async () => {
  const store = new TrackedStore();
  const failing: TestContent[] = [BLOB, MANIFEST].map(({ bytes, digest }) => ({
    bytes: new Uint8Array(bytes),
    digest,
  }));
  for (const { bytes } of failing) store.put(bytes);
  Object.assign(store, {
    open: (digest: Digest) => {
      const { bytes } = failing.find((content) => content.digest === digest)!;
      const failure = new UnavailableError("disk /dev/secret is broken");
      return Promise.resolve(store.track(new BytesReader(bytes, { failAt: 0, failure })));
    },
  });
  await using node = await startNode({ store });
  assertError(await node.request("GET", BLOB_TARGET), 503, "BLOB_UNKNOWN");
  const answer = await node.request("GET", manifestTarget(MANIFEST.digest));
  assertError(answer, 503, "MANIFEST_UNKNOWN");
  assert.doesNotMatch(new TextDecoder().decode(answer.body), /secret/);
  assert.equal(store.openReaders.size, 0);
  assert.equal(store.opened, 2);
  assert.deepEqual(
    node.exchanges.map(({ answer: { facts } }) => facts.source),
    [undefined, undefined],
    "an error answer carries no content",
  );
});

Deno.test("Registry is alive at /livez, and ready at /readyz when store and router are", async () => {
  await using node = await startNode();
  for (const method of ["GET", "HEAD"]) {
    assert.equal((await node.request(method, "/livez")).status, 200);
    const ready = await node.request(method, "/readyz");
    assert.equal(ready.status, 200);
    assert.equal(ready.headers.get("content-type"), "text/plain; charset=utf-8");
  }
  const text = new TextDecoder().decode((await node.request("GET", "/readyz")).body);
  assert.match(text, /^memory: ready: 5 contents\nmemory: ready: 0 peers\n$/);
});

Deno.test("Registry is not ready while its store or router is not, and says why", async () => {
  const status = () => Promise.resolve({ ready: false, detail: "no peers yet" });
  await using lonely = await startNode({ router: { status } });
  const store = Object.assign(new TrackedStore(), { status });
  await using storeless = await startNode({ store });
  for (const node of [lonely, storeless]) {
    const answer = await node.request("GET", "/readyz");
    assert.equal(answer.status, 503);
    assert.match(new TextDecoder().decode(answer.body), /^memory: not ready: no peers yet$/m);
    assert.equal((await node.request("GET", "/livez")).status, 200);
  }
});

Deno.test("Registry is no longer alive when its store says that only a restart helps", async () => {
  const status = () => Promise.resolve({ ready: false, lost: true, detail: "socket is gone" });
  await using node = await startNode({ store: Object.assign(new TrackedStore(), { status }) });
  const answer = await node.request("GET", "/livez");
  assert.equal(answer.status, 503);
  assert.equal(new TextDecoder().decode(answer.body), "socket is gone\n");
  assert.equal((await node.request("GET", "/readyz")).status, 503);
});
