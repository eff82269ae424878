/**
 * The distribution specification 1.1, point by point: what a client may expect of a registry that it pulls from. Each
 * step names the endpoint or section that it is about.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
 * @module
 */
import assert from "node:assert/strict";
import { type Digest, hasherFor, splitDigest } from "../../lib/oci/digest.ts";
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../../lib/oci/media_types.ts";
import type { StoreFixture, TestImage } from "../unit/store/compliance.ts";
import type { RawAnswer } from "../unit/support/raw_client.ts";
import type { RegistryNode } from "../unit/support/registry_node.ts";
import {
  DOCKER_IMAGE,
  IMAGE,
  INDEX,
  LONG_TAG,
  makeSha512Image,
  ODD_REPOSITORY,
  OTHER_REGISTRY,
  REFERRING_INDEX,
  REGISTRY,
  REPOSITORY,
  SBOM,
  SIGNATURE,
  SIGNATURE_ANNOTATIONS,
  SIGNATURE_TYPE,
  TAGS,
} from "./support/content.ts";
import { startConformanceNode } from "./support/node.ts";

/** Options of the suite. */
export interface ConformanceOptions {
  readonly ignore?: boolean;
  /** Why resources outlive the test, if the sanitizers have to be off. */
  readonly sanitizeOps?: boolean;
  readonly sanitizeResources?: boolean;
  /** What cannot be put into the store. */
  readonly omits?: readonly ("docker" | "names" | "sha512")[];
}

const PATH = `/v2/${REPOSITORY}`;
const ABSENT = [`sha256:${"0".repeat(64)}`, `sha512:${"0".repeat(128)}`];
const [, LAYER] = IMAGE.blobs;
const [BYTES, SIZE] = [LAYER!.bytes, LAYER!.bytes.length];
const LAYER_TARGET = `${PATH}/blobs/${LAYER!.digest}`;
const REFERRERS = `${PATH}/referrers/${IMAGE.manifest.digest}`;

/** Codes of the specification's section "Error Codes". */
const ERROR_CODES = [
  "BLOB_UNKNOWN",
  "BLOB_UPLOAD_INVALID",
  "BLOB_UPLOAD_UNKNOWN",
  "DIGEST_INVALID",
  "MANIFEST_BLOB_UNKNOWN",
  "MANIFEST_INVALID",
  "MANIFEST_UNKNOWN",
  "NAME_INVALID",
  "NAME_UNKNOWN",
  "SIZE_INVALID",
  "UNAUTHORIZED",
  "DENIED",
  "UNSUPPORTED",
  "TOOMANYREQUESTS",
];

/** Bytes that a `Range` header asks for, and what is to be answered. */
const RANGES: readonly (readonly [header: string, first: number, last: number])[] = [
  ["bytes=0-0", 0, 0],
  ["bytes=5-1000", 5, 1000],
  ["bytes=0-", 0, SIZE - 1],
  [`bytes=${SIZE - 1}-`, SIZE - 1, SIZE - 1],
  [`bytes=65536-${SIZE * 2}`, 65_536, SIZE - 1],
  ["bytes=-1", SIZE - 1, SIZE - 1],
  ["bytes=-70000", SIZE - 70_000, SIZE - 1],
  [`bytes=-${SIZE * 2}`, 0, SIZE - 1],
  ["BYTES=1-2", 1, 2],
];

/** Headers that are to be ignored: malformed, of another unit, or of several ranges, which a server may refuse so. */
const IGNORED_RANGES = ["bytes=9-8", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "1-2"];

function jsonOf({ body }: RawAnswer): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(body));
}

/** Checks that a body is an error as the specification has it. */
function assertError(answer: RawAnswer, status: number, code: string): void {
  assert.equal(answer.status, status);
  assert.equal(answer.headers.get("content-type"), "application/json");
  const { errors, ...rest } = jsonOf(answer);
  assert.deepEqual(rest, {});
  assert.ok(Array.isArray(errors) && errors.length > 0);
  for (const error of errors) {
    assert.ok(ERROR_CODES.includes(error.code), error.code);
    assert.equal(typeof error.message, "string");
  }
  assert.equal(errors[0].code, code);
}

/** Checks GET and HEAD of a content that is there. */
async function assertServed(
  node: RegistryNode,
  target: string,
  content: { readonly bytes: Uint8Array; readonly digest: Digest },
  mediaType: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  for (const method of ["GET", "HEAD"]) {
    const answer = await node.request(method, target, headers);
    assert.equal(answer.status, 200, target);
    assert.equal(answer.headers.get("docker-content-digest"), content.digest);
    assert.equal(answer.headers.get("content-length"), String(content.bytes.length));
    assert.equal(answer.headers.get("content-type"), mediaType);
    if (method === "GET") assert.deepEqual(answer.body, content.bytes);
  }
}

/** Checks that neither GET nor HEAD finds something. */
async function assertUnknown(node: RegistryNode, target: string, code: string): Promise<void> {
  assertError(await node.request("GET", target), 404, code);
  assert.equal((await node.request("HEAD", target)).status, 404, target);
}

/** Parts of a list, following the `Link` headers. */
async function partsOf(node: RegistryNode, target: string): Promise<unknown[]> {
  const parts: unknown[] = [];
  let next: string | undefined = target;
  while (next !== undefined) {
    const answer: RawAnswer = await node.request("GET", next);
    assert.equal(answer.status, 200, next);
    parts.push(jsonOf(answer)["tags"]);
    next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get("link") ?? "")?.[1];
  }
  return parts;
}

/**
 * Registers the suite as one test with a step for each point.
 *
 * @param name What is tested.
 * @param create Makes an empty store.
 * @param options Options for the test.
 */
export function testConformance(
  name: string,
  create: () => Promise<StoreFixture>,
  options: ConformanceOptions = {},
): void {
  const { omits = [], ...testOptions } = options;
  Deno.test({
    name: `${name} conforms to the distribution specification 1.1`,
    ...testOptions,
    async fn(t) {
      await using fixture = await create();
      await using node = await startConformanceNode(fixture);
      const steps = [PULL, DISCOVERY];
      if (!omits.includes("names")) steps.push(NAMES);
      if (!omits.includes("docker")) steps.push(DOCKER);
      if (!omits.includes("sha512")) steps.push(SHA512);
      for (const [what, check] of steps.flatMap(Object.entries<Step>)) {
        await t.step(what, () => check(node, fixture));
      }
    },
  });
}

type Step = (node: RegistryNode, fixture: StoreFixture) => Promise<void>;

const PULL: Readonly<Record<string, Step>> = {
  "end-1, Determining Support: GET /v2/ is 200": async (node) => {
    assert.equal((await node.request("GET", "/v2/")).status, 200);
  },

  "end-3, Pulling manifests: by digest and by tag, with the digest in a header": async (node) => {
    const { manifest } = IMAGE;
    for (const reference of [manifest.digest, "1.0", LONG_TAG]) {
      await assertServed(node, `${PATH}/manifests/${reference}`, manifest, OCI_MANIFEST);
    }
  },

  "end-3, Pulling manifests: Content-Type is the manifest's own, without parameters": async (
    node,
  ) => {
    for (
      const [reference, { manifest }, mediaType] of [
        ["Index", INDEX, OCI_INDEX],
        [SIGNATURE.manifest.digest, SIGNATURE, OCI_MANIFEST],
      ] as const
    ) {
      await assertServed(node, `${PATH}/manifests/${reference}`, manifest, mediaType);
    }
  },

  "end-3, Content Negotiation: one who accepts something else gets what there is": async (node) => {
    const target = `${PATH}/manifests/Index`;
    for (const Accept of [OCI_INDEX, OCI_MANIFEST, "*/*", "application/json;q=0.1, text/html"]) {
      await assertServed(node, target, INDEX.manifest, OCI_INDEX, { Accept });
    }
  },

  "end-3, Pulling manifests: what is not there is 404": async (node) => {
    for (const reference of [...ABSENT, "absent", "a".repeat(129), ".dot"]) {
      await assertUnknown(node, `${PATH}/manifests/${reference}`, "MANIFEST_UNKNOWN");
    }
    await assertUnknown(node, "/v2/conformance/none/manifests/1.0", "MANIFEST_UNKNOWN");
    // A blob is no manifest.
    await assertUnknown(node, `${PATH}/manifests/${LAYER!.digest}`, "MANIFEST_UNKNOWN");
  },

  "end-2, Pulling blobs: by digest, with the digest in a header": async (node) => {
    for (const blob of [...INDEX.blobs, ...SIGNATURE.blobs]) {
      const { headers } = await node.request("HEAD", `${PATH}/blobs/${blob.digest}`);
      const mediaType = headers.get("content-type")!;
      await assertServed(node, `${PATH}/blobs/${blob.digest}`, blob, mediaType);
    }
  },

  "end-2, Pulling blobs: what is not there is 404": async (node) => {
    for (const digest of ABSENT) {
      await assertUnknown(node, `${PATH}/blobs/${digest}`, "BLOB_UNKNOWN");
    }
  },

  "end-2, Pulling blobs: ranges by RFC 9110, section 14": async (node) => {
    for (const [Range, first, last] of RANGES) {
      const answer = await node.request("GET", LAYER_TARGET, { Range });
      assert.equal(answer.status, 206, Range);
      assert.equal(answer.headers.get("content-range"), `bytes ${first}-${last}/${SIZE}`);
      assert.equal(answer.headers.get("content-length"), String(last - first + 1));
      assert.equal(answer.headers.get("docker-content-digest"), LAYER!.digest);
      assert.deepEqual(answer.body, BYTES.slice(first, last + 1));
    }
    assert.equal(
      (await node.request("HEAD", LAYER_TARGET)).headers.get("accept-ranges"),
      "bytes",
    );
  },

  "end-2, Pulling blobs: ranges that hold no byte are 416, with the size (RFC 9110, 15.5.17)":
    async (node) => {
      for (const Range of [`bytes=${SIZE}-`, `bytes=${SIZE * 2}-${SIZE * 3}`, "bytes=-0"]) {
        const answer = await node.request("GET", LAYER_TARGET, { Range });
        assertError(answer, 416, "UNSUPPORTED");
        assert.equal(answer.headers.get("content-range"), `bytes */${SIZE}`);
      }
    },

  "end-2, Pulling blobs: ranges that mean nothing here are ignored (RFC 9110, 14.2)": async (
    node,
  ) => {
    for (const Range of IGNORED_RANGES) {
      await assertServed(node, LAYER_TARGET, LAYER!, "application/octet-stream", { Range });
    }
    // Range is defined for GET alone.
    const head = await node.request("HEAD", LAYER_TARGET, { Range: "bytes=1-2" });
    assert.deepEqual([head.status, head.headers.get("content-length")], [200, String(SIZE)]);
  },

  "end-2, Pulling blobs: If-Range decides whether a range applies (RFC 9110, 13.1.5)": async (
    node,
  ) => {
    const ranged = (tag: string) =>
      node.request("GET", LAYER_TARGET, { "Range": "bytes=1-2", "If-Range": tag });
    const etag = (await node.request("HEAD", LAYER_TARGET)).headers.get("etag")!;
    assert.equal((await ranged(etag)).status, 206);
    for (const other of ['"other"', `W/${etag}`]) assert.equal((await ranged(other)).status, 200);
  },

  "end-2 and end-3, Checking if content exists: HEAD tells what GET does": async (node) => {
    for (
      const target of [
        `${PATH}/manifests/1.0`,
        `${PATH}/manifests/${INDEX.manifest.digest}`,
        LAYER_TARGET,
        `${PATH}/manifests/absent`,
        `${PATH}/blobs/${ABSENT[0]}`,
        `${PATH}/blobs/sha256:short`,
      ]
    ) {
      const [head, got] = [await node.request("HEAD", target), await node.request("GET", target)];
      assert.equal(head.status, got.status, target);
      const withoutDate = ({ headers }: RawAnswer) =>
        [...headers].filter(([header]) => header !== "date").sort();
      assert.deepEqual(withoutDate(head), withoutDate(got));
      assert.equal(got.headers.get("content-length"), String(got.body.length));
    }
  },

  "Error Codes: a malformed request is 400, with a code and a text": async (node) => {
    for (
      const [target, code] of [
        [`${PATH}/manifests/sha256:totallywrong`, "DIGEST_INVALID"],
        [`${PATH}/blobs/sha256:totallywrong`, "DIGEST_INVALID"],
        [`${PATH}/blobs/md5:${"0".repeat(32)}`, "DIGEST_INVALID"],
        [`${PATH}/blobs/1.0`, "DIGEST_INVALID"],
        ["/v2/Conformance/manifests/1.0", "NAME_INVALID"],
        ["/v2/a//b/manifests/1.0", "NAME_INVALID"],
        ["/v2/-a/tags/list", "NAME_INVALID"],
        [`${PATH}/referrers/1.0`, "DIGEST_INVALID"],
      ] as const
    ) {
      assertError(await node.request("GET", target), 400, code);
    }
  },

  "Endpoints: what is none is 404": async (node) => {
    for (const target of ["/v2/_catalog", `${PATH}/tags`, `${PATH}/manifests/`, `${PATH}/x/1.0`]) {
      await assertUnknown(node, target, "NAME_UNKNOWN");
    }
  },

  "end-4 to end-7, end-9 to end-11: pushing and deleting is UNSUPPORTED": async (node) => {
    for (
      const [method, target] of [
        ["POST", `${PATH}/blobs/uploads/`],
        ["POST", `${PATH}/blobs/uploads/?digest=${LAYER!.digest}`],
        ["POST", `${PATH}/blobs/uploads/?mount=${LAYER!.digest}&from=other`],
        ["PATCH", `${PATH}/blobs/uploads/1`],
        ["PUT", `${PATH}/blobs/uploads/1?digest=${LAYER!.digest}`],
        ["PUT", `${PATH}/manifests/1.0`],
        ["DELETE", `${PATH}/manifests/1.0`],
        ["DELETE", LAYER_TARGET],
      ] as const
    ) {
      const answer = await node.request(method, target);
      assertError(answer, 405, "UNSUPPORTED");
      assert.equal(answer.headers.get("allow"), "GET, HEAD");
    }
  },
};

const DISCOVERY: Readonly<Record<string, Step>> = {
  "end-8a, Listing Tags: all of them in order": async (node) => {
    const answer = await node.request("GET", `${PATH}/tags/list`);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), "application/json");
    assert.equal(answer.headers.get("link"), undefined);
    assert.deepEqual(jsonOf(answer), { name: REPOSITORY, tags: Object.keys(TAGS) });
  },

  "end-8b, Listing Tags: n, last, and links to what is left": async (node) => {
    const tags = Object.keys(TAGS);
    for (const n of [1, 3, tags.length - 1, tags.length, 100]) {
      const parts = await partsOf(node, `${PATH}/tags/list?n=${n}`);
      assert.deepEqual(parts.flat(), tags);
      assert.equal(parts.length, Math.ceil(tags.length / n));
    }
    const rest = await partsOf(node, `${PATH}/tags/list?last=${LONG_TAG}`);
    assert.deepEqual(rest, [tags.slice(tags.indexOf(LONG_TAG) + 1)]);
    assert.deepEqual(await partsOf(node, `${PATH}/tags/list?last=zzz&n=5`), [[]]);
    // A tag need not be there to be the last one.
    assert.deepEqual(await partsOf(node, `${PATH}/tags/list?last=sc&n=5`), [["sig", "sig-other"]]);
  },

  "end-8b, Listing Tags: n=0 is an empty list without a link": async (node) => {
    const answer = await node.request("GET", `${PATH}/tags/list?n=0`);
    assert.deepEqual(jsonOf(answer)["tags"], []);
    assert.equal(answer.headers.get("link"), undefined);
  },

  "end-8a, Listing Tags: ns names the registry, also in links": async (node) => {
    const target = `${PATH}/tags/list?ns=${encodeURIComponent(OTHER_REGISTRY)}`;
    assert.deepEqual(await partsOf(node, target), [["elsewhere"]]);
    const two = `/v2/${REPOSITORY}/tags/list?ns=${REGISTRY}&n=1`;
    assert.deepEqual((await partsOf(node, two)).flat(), Object.keys(TAGS));
  },

  "end-8a and end-12a: a repository that is not there is 404": async (node) => {
    await assertUnknown(node, "/v2/conformance/none/tags/list", "NAME_UNKNOWN");
    await assertUnknown(node, `${PATH}/tags/list?ns=none.example`, "NAME_UNKNOWN");
    await assertUnknown(
      node,
      `/v2/conformance/none/referrers/${IMAGE.manifest.digest}`,
      "NAME_UNKNOWN",
    );
  },

  "end-12a, Listing Referrers: an index of all manifests with the subject": async (node) => {
    const answer = await node.request("GET", REFERRERS);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), OCI_INDEX);
    assert.equal(answer.headers.get("oci-filters-applied"), undefined);
    const { manifests, ...rest } = jsonOf(answer);
    assert.deepEqual(rest, { schemaVersion: 2, mediaType: OCI_INDEX });
    const entry = ({ manifest: { digest, bytes } }: TestImage, mediaType: string) => ({
      mediaType,
      digest,
      size: bytes.length,
    });
    const expected = [
      {
        ...entry(SIGNATURE, OCI_MANIFEST),
        artifactType: SIGNATURE_TYPE,
        annotations: SIGNATURE_ANNOTATIONS,
      },
      // Without a type of its own an image manifest is what its config is, and an index is nothing.
      {
        ...entry(SBOM, OCI_MANIFEST),
        artifactType: "application/vnd.oci.image.config.v1+json",
      },
      entry(REFERRING_INDEX, OCI_INDEX),
    ];
    assert.deepEqual(manifests, expected.sort((a, b) => a.digest < b.digest ? -1 : 1));
  },

  "end-12b, Listing Referrers: artifactType filters, and a header says so": async (node) => {
    for (const [type, digests] of [[SIGNATURE_TYPE, [SIGNATURE.manifest.digest]], ["x/y", []]]) {
      const answer = await node.request(
        "GET",
        `${REFERRERS}?artifactType=${encodeURIComponent(type as string)}`,
      );
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("oci-filters-applied"), "artifactType");
      const manifests = jsonOf(answer)["manifests"] as { digest: string }[];
      assert.deepEqual(manifests.map(({ digest }) => digest), digests);
    }
  },

  "end-12a, Listing Referrers: none is an empty index, whether or not the subject is there": async (
    node,
  ) => {
    for (const digest of [INDEX.manifest.digest, ...ABSENT]) {
      const answer = await node.request("GET", `${PATH}/referrers/${digest}`);
      assert.equal(answer.status, 200);
      assert.deepEqual(jsonOf(answer)["manifests"], []);
    }
  },

  "end-8 and end-12: HEAD tells what GET does, and nobody else is asked": async (node) => {
    const asked = node.lookups.length;
    for (const target of [`${PATH}/tags/list?n=2`, REFERRERS, "/v2/none/tags/list"]) {
      const [head, got] = [await node.request("HEAD", target), await node.request("GET", target)];
      assert.equal(head.status, got.status);
      for (const header of ["content-type", "content-length", "link"]) {
        assert.equal(head.headers.get(header), got.headers.get(header));
      }
    }
    assert.equal(node.lookups.length, asked);
  },
};

const NAMES: Readonly<Record<string, Step>> = {
  "end-3, Pulling manifests: any name that the specification allows": async (node, fixture) => {
    await fixture.add(`${REGISTRY}/${ODD_REPOSITORY}:v1`, IMAGE);
    const target = `/v2/${ODD_REPOSITORY}/manifests/v1`;
    await assertServed(node, target, IMAGE.manifest, OCI_MANIFEST);
  },
};

const DOCKER: Readonly<Record<string, Step>> = {
  "end-3, Pulling manifests: one in Docker's form keeps its type": async (node, fixture) => {
    const { manifest, blobs } = DOCKER_IMAGE;
    await fixture.add(`${REGISTRY}/${REPOSITORY}:docker`, DOCKER_IMAGE);
    for (const reference of [manifest.digest, "docker"]) {
      await assertServed(node, `${PATH}/manifests/${reference}`, manifest, DOCKER_MANIFEST);
    }
    for (const blob of blobs) {
      await assertServed(node, `${PATH}/blobs/${blob.digest}`, blob, "application/octet-stream");
    }
  },
};

const SHA512: Readonly<Record<string, Step>> = {
  "Digests: content by sha512 is served like any other": async (node, fixture) => {
    const image = makeSha512Image();
    await fixture.add(`${REGISTRY}/${REPOSITORY}:sha512`, image);
    const { manifest, blobs } = image;
    for (const reference of [manifest.digest, "sha512"]) {
      await assertServed(node, `${PATH}/manifests/${reference}`, manifest, OCI_MANIFEST);
    }
    for (const blob of blobs) {
      const target = `${PATH}/blobs/${blob.digest}`;
      await assertServed(node, target, blob, "application/octet-stream");
      const { body } = await node.request("GET", target);
      const hex = hasherFor(blob.digest).update(body).digest("hex");
      assert.equal(hex, splitDigest(blob.digest).hex);
      const part = await node.request("GET", target, { Range: "bytes=1-2" });
      assert.deepEqual([part.status, part.body], [206, blob.bytes.slice(1, 3)]);
    }
  },

  "Digests: wrong bytes under a digest of sha512 are not served": async (node, fixture) => {
    const image = makeSha512Image();
    const wrong = { ...image.blobs[1]!, bytes: new Uint8Array(7) };
    const digest = wrong.digest.replace(/.$/, (digit) => digit === "0" ? "1" : "0") as Digest;
    await fixture.add(`${REGISTRY}/${REPOSITORY}:wrong`, {
      ...image,
      blobs: [{ ...wrong, digest }],
    });
    assertError(await node.request("GET", `${PATH}/blobs/${digest}`), 404, "BLOB_UNKNOWN");
  },
};
