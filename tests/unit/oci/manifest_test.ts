import assert from "node:assert/strict";
import { MAX_MANIFEST_SIZE, parseManifest } from "../../../lib/oci/manifest.ts";
import {
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  OCI_INDEX,
  OCI_MANIFEST,
} from "../../../lib/oci/media_types.ts";

const DIGESTS = ["a", "b", "c"].map((digit) => `sha256:${digit.repeat(64)}`);
const [A = "", B = "", C = ""] = DIGESTS;
const CONFIG = { mediaType: "application/vnd.oci.image.config.v1+json", digest: A, size: 1 };
const LAYER = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: B, size: 2 };

function parse(document: unknown): ReturnType<typeof parseManifest> {
  return parseManifest(new TextEncoder().encode(JSON.stringify(document)));
}

Deno.test("parseManifest() lists the config first, then the layers in order", () => {
  const layers = [LAYER, { ...LAYER, digest: C, size: 3 }];
  const manifest = parse({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: CONFIG, layers });
  assert.equal(manifest?.mediaType, OCI_MANIFEST);
  assert.deepEqual(manifest?.children, [CONFIG, ...layers]);
});

Deno.test("parseManifest() lists the manifests of an index with their platforms", () => {
  const entry = { mediaType: OCI_MANIFEST, size: 9 };
  const manifest = parse({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [
      { ...entry, digest: A, platform: { os: "linux", architecture: "amd64" } },
      { ...entry, digest: B, platform: { os: "linux", architecture: "arm", variant: "v7" } },
      { ...entry, digest: C },
    ],
  });
  assert.equal(manifest?.mediaType, OCI_INDEX);
  assert.deepEqual(
    manifest?.children.map(({ digest, platform }) => [digest, platform]),
    [[A, "linux/amd64"], [B, "linux/arm/v7"], [C, undefined]],
  );
});

Deno.test("parseManifest() believes the media type that is stated", () => {
  const body = { schemaVersion: 2, config: CONFIG, layers: [LAYER] };
  assert.equal(parse({ ...body, mediaType: DOCKER_MANIFEST })?.mediaType, DOCKER_MANIFEST);
  assert.equal(
    parse({ schemaVersion: 2, mediaType: DOCKER_MANIFEST_LIST, manifests: [] })?.mediaType,
    DOCKER_MANIFEST_LIST,
  );
});

Deno.test("parseManifest() tells by the shape where no media type is stated", () => {
  const docker = { ...CONFIG, mediaType: "application/vnd.docker.container.image.v1+json" };
  assert.equal(parse({ schemaVersion: 2, manifests: [] })?.mediaType, OCI_INDEX);
  assert.equal(parse({ schemaVersion: 2, config: CONFIG, layers: [] })?.mediaType, OCI_MANIFEST);
  assert.equal(parse({ schemaVersion: 2, config: docker, layers: [] })?.mediaType, DOCKER_MANIFEST);
});

const NO_MANIFESTS: Readonly<Record<string, unknown>> = {
  "an image config": { architecture: "amd64", os: "linux", rootfs: { type: "layers" } },
  "a manifest of schema 1": { schemaVersion: 1, name: "app", fsLayers: [] },
  "an unknown media type": { schemaVersion: 2, mediaType: "text/x", config: CONFIG, layers: [] },
  "a manifest without layers": { schemaVersion: 2, config: CONFIG },
  "an empty object": {},
  "an array": [],
  "null": null,
  "a number": 7,
};
for (const [what, document] of Object.entries(NO_MANIFESTS)) {
  Deno.test(`parseManifest() does not take ${what} for a manifest`, () => {
    assert.equal(parse(document), undefined);
  });
}

Deno.test("parseManifest() does not take bytes that are no JSON or no UTF-8 for a manifest", () => {
  for (const text of ["", "{", "\x1f\x8b\x08", '{"schemaVersion":2']) {
    assert.equal(parseManifest(new TextEncoder().encode(text)), undefined);
  }
  const valid = JSON.stringify({ schemaVersion: 2, config: CONFIG, layers: [], note: "?" });
  const bytes = new TextEncoder().encode(valid);
  assert.ok(parseManifest(bytes));
  bytes[bytes.indexOf(0x3f)] = 0xff;
  assert.equal(parseManifest(bytes), undefined);
});

Deno.test("parseManifest() refuses documents beyond the limit of 4 MiB, and takes one at it", () => {
  const padded = (size: number) => {
    const text = JSON.stringify({ schemaVersion: 2, manifests: [] });
    return new TextEncoder().encode(text.padEnd(size));
  };
  assert.ok(parseManifest(padded(MAX_MANIFEST_SIZE)));
  assert.equal(parseManifest(padded(MAX_MANIFEST_SIZE + 1)), undefined);
});

Deno.test("parseManifest() leaves out malformed children and keeps the others", () => {
  const odd = [null, 3, "x", {}, [], { digest: "sha256:short" }, { digest: 5 }, { size: 4 }];
  const manifest = parse({ schemaVersion: 2, config: "none", layers: [...odd, LAYER, ...odd] });
  assert.equal(manifest, undefined, "a config is what makes it a manifest");
  const stated = parse({ mediaType: OCI_MANIFEST, config: "none", layers: [...odd, LAYER] });
  assert.deepEqual(stated?.children, [LAYER]);
  assert.deepEqual(parse({ mediaType: OCI_INDEX, manifests: "none" })?.children, []);
});

Deno.test("parseManifest() does not repeat sizes, types and platforms that make no sense", () => {
  const odd = { digest: A, mediaType: 7, size: -1, platform: { os: "linux" } };
  const sizes = [1.5, "9", 2 ** 60, null].map((size) => ({ digest: A, size }));
  const manifest = parse({ mediaType: OCI_INDEX, manifests: [odd, ...sizes] });
  for (const child of manifest?.children ?? []) {
    assert.deepEqual(child, { digest: A, mediaType: "", size: 0 });
  }
  assert.equal(manifest?.children.length, 5);
});

Deno.test("parseManifest() tells what a manifest refers to, and as what", () => {
  const subject = { mediaType: OCI_MANIFEST, digest: C, size: 9 };
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: CONFIG, layers: [LAYER] };
  const referral = (fields: unknown) => parse({ ...manifest, ...fields as object })?.referral;
  const byConfig = { subject: C, artifactType: CONFIG.mediaType, annotations: {} };
  assert.equal(referral({ artifactType: "a/b" }), undefined);
  assert.deepEqual(referral({ subject }), byConfig);
  assert.deepEqual(referral({ subject, artifactType: "" }), byConfig);
  assert.deepEqual(referral({ subject, artifactType: 7, annotations: ["x"] }), byConfig);
  assert.deepEqual(
    referral({ subject, artifactType: "a/b", annotations: { key: "value", odd: 1 } }),
    { subject: C, artifactType: "a/b", annotations: { key: "value" } },
  );
  for (const odd of [C, [subject], null, { digest: "sha256:short" }]) {
    assert.equal(referral({ subject: odd }), undefined);
  }
});

Deno.test("parseManifest() gives an index no artifact type that it does not state", () => {
  const subject = { digest: C };
  assert.deepEqual(parse({ schemaVersion: 2, manifests: [], subject })?.referral, {
    subject: C,
    annotations: {},
  });
  const stated = parse({ schemaVersion: 2, manifests: [], subject, artifactType: "a/b" });
  assert.equal(stated?.referral?.artifactType, "a/b");
});
