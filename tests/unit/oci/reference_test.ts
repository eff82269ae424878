import assert from "node:assert/strict";
import { InvalidReferenceError } from "../../../lib/errors.ts";
import { parseDigest } from "../../../lib/oci/digest.ts";
import {
  formatReference,
  isRegistry,
  isRepository,
  isTag,
  normalizeReference,
  parseReference,
  type Reference,
  referenceKey,
} from "../../../lib/oci/reference.ts";

const DIGEST = parseDigest(`sha256:${"a".repeat(64)}`);

const ACCEPTED: Readonly<Record<string, Reference>> = {
  "docker.io/library/nginx:1.27": {
    registry: "docker.io",
    repository: "library/nginx",
    tag: "1.27",
  },
  "localhost:5000/app:v1": { registry: "localhost:5000", repository: "app", tag: "v1" },
  "[fd00::1]:5000/app:v1": { registry: "[fd00::1]:5000", repository: "app", tag: "v1" },
  [`ghcr.io/a/b@${DIGEST}`]: { registry: "ghcr.io", repository: "a/b", digest: DIGEST },
  [`ghcr.io/a/b:v1@${DIGEST}`]: {
    registry: "ghcr.io",
    repository: "a/b",
    tag: "v1",
    digest: DIGEST,
  },
};
for (const [text, reference] of Object.entries(ACCEPTED)) {
  Deno.test(`parseReference() takes ${text} apart, and formatReference() puts it together`, () => {
    assert.deepEqual(parseReference(text), reference);
    assert.equal(formatReference(reference), text);
  });
}

for (
  const text of [
    "",
    "nginx",
    "nginx:1.27",
    "/nginx:1.27",
    "docker.io/",
    "docker.io/library/nginx",
    "docker.io/:1.27",
    "docker.io/library/nginx:",
    "docker.io/library/nginx:-dash",
    "docker.io/library/nginx:one:two",
    "docker.io/library/nginx@sha256:short",
    `docker.io/library/nginx@${DIGEST}@${DIGEST}`,
    `docker.io/library/nginx@${DIGEST}:tag`,
    "docker.io/Library/nginx:1",
    "docker.io/../nginx:1",
    "docker.io//nginx:1",
    "docker..io/nginx:1",
    "docker_io/nginx:1",
    "user@host/nginx:1",
    "docker.io/nginx:1\n",
    DIGEST,
  ]
) {
  Deno.test(`parseReference() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseReference(text), InvalidReferenceError);
  });
}

Deno.test("referenceKey() is the digest where there is one, else the full tag reference", () => {
  assert.equal(
    referenceKey(parseReference("docker.io/library/nginx:1")),
    "docker.io/library/nginx:1",
  );
  assert.equal(referenceKey(parseReference(`docker.io/library/nginx:1@${DIGEST}`)), DIGEST);
});

Deno.test("isRepository() follows the specification's grammar", () => {
  const good = ["a", "a/b/c/d/e/f", "a.b", "a_b", "a__b", "a---b", "0/1", "a".repeat(255)];
  const bad = ["", "/", "a/", "/a", "a//b", "A", "a.", ".a", "a..b", "a___b", "-a", "a_", "a b"];
  const tooLong = `${"a/".repeat(127)}ab`;
  assert.deepEqual(good.filter((name) => !isRepository(name)), []);
  assert.deepEqual([...bad, tooLong, "a\n", "ä"].filter(isRepository), []);
  assert.equal(tooLong.length, 256);
});

Deno.test("isTag() follows the specification's grammar", () => {
  const good = ["latest", "1.27", "_x", "A-b.c_D", "a".repeat(128)];
  const bad = ["", ".a", "-a", "a:b", "a/b", "a b", "a\n", "ä", "a".repeat(129)];
  assert.deepEqual(good.filter((tag) => !isTag(tag)), []);
  assert.deepEqual(bad.filter(isTag), []);
});

Deno.test("isRegistry() takes hosts with and without a port, and nothing that leads elsewhere", () => {
  const good = ["docker.io", "localhost", "localhost:5000", "10.0.0.1:80", "[::1]", "[::1]:5000"];
  const bad = [
    "",
    "docker.io/",
    "docker.io/library",
    "http://docker.io",
    "user@docker.io",
    "docker.io:",
    "docker.io:port",
    "docker.io:123456",
    "-docker.io",
    "docker-.io",
    ".docker.io",
    "docker.io.",
    "..",
    "::1",
    "[::1",
    "a b",
    "a\r\nb",
    "a%2fb",
    "a?b",
    "a".repeat(256),
  ];
  assert.deepEqual(good.filter((host) => !isRegistry(host)), []);
  assert.deepEqual(bad.filter(isRegistry), []);
});

const NORMALIZED: Readonly<Record<string, string>> = {
  "nginx": "docker.io/library/nginx:latest",
  "nginx:1.27": "docker.io/library/nginx:1.27",
  "user/app": "docker.io/user/app:latest",
  "docker.io/nginx": "docker.io/library/nginx:latest",
  "index.docker.io/user/app:1": "docker.io/user/app:1",
  "ghcr.io/a/b": "ghcr.io/a/b:latest",
  "localhost/app": "localhost/app:latest",
  "registry:5000/app": "registry:5000/app:latest",
  "[fd00::1]:5000/app:v1": "[fd00::1]:5000/app:v1",
  [`nginx@${DIGEST}`]: `docker.io/library/nginx@${DIGEST}`,
  [`ghcr.io/a/b:1@${DIGEST}`]: `ghcr.io/a/b:1@${DIGEST}`,
};
for (const [text, full] of Object.entries(NORMALIZED)) {
  Deno.test(`normalizeReference() fills in ${text}`, () => {
    assert.equal(formatReference(normalizeReference(text)), full);
    assert.equal(formatReference(normalizeReference(full)), full, "what is full stays");
  });
}

for (const text of ["", "Nginx", "a//b", "nginx:", "nginx@sha256:abc", "https://ghcr.io/a/b"]) {
  Deno.test(`normalizeReference() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => normalizeReference(text), InvalidReferenceError);
  });
}
