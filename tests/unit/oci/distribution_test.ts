import assert from "node:assert/strict";
import { parseDigest } from "../../../lib/oci/digest.ts";
import {
  formatDistributionPath,
  namespaceOf,
  parseDistributionPath,
  parseListPath,
} from "../../../lib/oci/distribution.ts";
import { DistributionError } from "../../../lib/oci/distribution_error.ts";

const DIGEST = parseDigest(`sha256:${"a".repeat(64)}`);
const SHA512 = parseDigest(`sha512:${"b".repeat(128)}`);

function codeOf(pathname: string, namespace: string | null = "docker.io"): string {
  try {
    const path = parseDistributionPath(pathname, namespace, "docker.io");
    return `accepted ${path.key}`;
  } catch (error) {
    assert.ok(error instanceof DistributionError, String(error));
    return error.distributionCode;
  }
}

for (
  const query of [
    ...[
      "",
      "?",
      "?ns=",
      "?ns",
      "?ns=docker.io",
      "?ns=registry.test:5000",
      "?ns=registry.test%3A5000",
    ],
    ...[
      "?ns=a&ns=b",
      "?ns=a+b",
      "?x=1&ns=ghcr.io",
      "?ns=ghcr.io&x=1",
      "?nss=a",
      "?ns=[fd00::1]:5000",
    ],
  ]
) {
  Deno.test(`namespaceOf() reads ${query || "no query"} as URL.searchParams does`, () => {
    const url = new URL(`http://mirror.test/v2/a/blobs/b${query}`);
    assert.equal(namespaceOf(url), url.searchParams.get("ns"));
  });
}

Deno.test("parseDistributionPath() reads a manifest by tag", () => {
  assert.deepEqual(
    parseDistributionPath("/v2/library/nginx/manifests/1.27", "docker.io", "ghcr.io"),
    {
      kind: "manifests",
      registry: "docker.io",
      repository: "library/nginx",
      tag: "1.27",
      key: "docker.io/library/nginx:1.27",
    },
  );
});

Deno.test("parseDistributionPath() reads manifests and blobs by sha256 and sha512", () => {
  for (const kind of ["manifests", "blobs"] as const) {
    for (const digest of [DIGEST, SHA512]) {
      assert.deepEqual(
        parseDistributionPath(`/v2/app/${kind}/${digest}`, "reg.test:5000", "docker.io"),
        { kind, registry: "reg.test:5000", repository: "app", digest, key: digest },
      );
    }
  }
});

Deno.test("parseDistributionPath() takes the default registry where a client names none", () => {
  for (const namespace of [null, ""]) {
    const path = parseDistributionPath("/v2/app/manifests/v1", namespace, "ghcr.io");
    assert.equal(path.registry, "ghcr.io");
  }
});

Deno.test("parseDistributionPath() takes the last manifests or blobs for the end of the name", () => {
  const path = parseDistributionPath("/v2/manifests/blobs/a/manifests/v1", null, "docker.io");
  assert.equal(path.repository, "manifests/blobs/a");
  const many = "a/".repeat(100).slice(0, -1);
  assert.equal(
    parseDistributionPath(`/v2/${many}/blobs/${DIGEST}`, null, "docker.io").repository,
    many,
  );
});

Deno.test("parseDistributionPath() reads percent-encoded paths once, not twice", () => {
  const encoded = DIGEST.replace(":", "%3A");
  assert.equal(codeOf(`/v2/library%2Fnginx/blobs/${encoded}`), `accepted ${DIGEST}`);
  assert.equal(codeOf("/v2/library%252Fnginx/manifests/v1"), "NAME_INVALID");
  assert.equal(codeOf("/v2/library/nginx/manifests/%2e%2e%2f%2e%2e"), "NAME_UNKNOWN");
});

const REFUSED: readonly (readonly [string, string])[] = [
  ["/v2/", "NAME_UNKNOWN"],
  ["/v2/app", "NAME_UNKNOWN"],
  ["/v2/manifests/v1", "NAME_UNKNOWN"],
  ["/v2//manifests/v1", "NAME_UNKNOWN"],
  ["/v2/app/manifests/", "NAME_UNKNOWN"],
  ["/v2/app/manifests/v1/more", "NAME_UNKNOWN"],
  ["/v2/app/tags/list", "NAME_UNKNOWN"],
  ["/v2/_catalog", "NAME_UNKNOWN"],
  [`/v2/app/referrers/${DIGEST}`, "NAME_UNKNOWN"],
  ["/v2/app/blobs/uploads/", "NAME_UNKNOWN"],
  ["/v2/app%0a/manifests/v1", "NAME_UNKNOWN"],
  ["/v1/app/manifests/v1", "NAME_UNKNOWN"],
  ["/v2/App/manifests/v1", "NAME_INVALID"],
  ["/v2/../etc/manifests/v1", "NAME_INVALID"],
  ["/v2/app//manifests/v1", "NAME_INVALID"],
  ["/v2/a%00b/manifests/v1", "NAME_INVALID"],
  ["/v2/app/manifests/%ff", "NAME_INVALID"],
  ["/v2/app/manifests/%", "NAME_INVALID"],
  [`/v2/${"a".repeat(256)}/manifests/v1`, "NAME_INVALID"],
  ["/v2/app/blobs/v1", "DIGEST_INVALID"],
  ["/v2/app/blobs/sha256:short", "DIGEST_INVALID"],
  [`/v2/app/blobs/md5:${"a".repeat(32)}`, "DIGEST_INVALID"],
  [`/v2/app/blobs/${DIGEST.toUpperCase()}`, "DIGEST_INVALID"],
  ["/v2/app/manifests/sha256:short", "DIGEST_INVALID"],
  ["/v2/app/manifests/.hidden", "MANIFEST_UNKNOWN"],
  [`/v2/app/manifests/${"a".repeat(129)}`, "MANIFEST_UNKNOWN"],
  ["/v2/app/manifests/a%20b", "MANIFEST_UNKNOWN"],
];
for (const [pathname, code] of REFUSED) {
  const shown = pathname.length > 60 ? `${pathname.slice(0, 60)}…` : pathname;
  Deno.test(`parseDistributionPath() answers ${code} to ${shown}`, () => {
    assert.equal(codeOf(pathname), code);
  });
}

for (
  const namespace of [
    "docker.io/library",
    "http://docker.io",
    "user:password@docker.io",
    "docker.io:99999999",
    "docker.io\r\nX-Injected: 1",
    "../..",
    " docker.io",
    "a".repeat(300),
  ]
) {
  Deno.test(`parseDistributionPath() refuses ns=${JSON.stringify(namespace.slice(0, 40))}`, () => {
    assert.equal(codeOf("/v2/app/manifests/v1", namespace), "NAME_INVALID");
  });
}

Deno.test("parseDistributionPath() repeats only the beginning of what it refuses", () => {
  for (const pathname of [`/v2/${"A".repeat(9000)}/manifests/v1`, `/${"a".repeat(9000)}`]) {
    assert.throws(
      () => parseDistributionPath(pathname, null, "docker.io"),
      (error: unknown) => error instanceof DistributionError && error.body().length < 500,
    );
  }
});

Deno.test("formatDistributionPath() is what parseDistributionPath() reads", () => {
  for (const last of ["manifests/v1", `manifests/${DIGEST}`, `blobs/${SHA512}`]) {
    const path = parseDistributionPath(`/v2/team/app/${last}`, "[fd00::1]:5000", "docker.io");
    const target = formatDistributionPath(path);
    assert.match(target, /^[\x21-\x7e]+$/);
    const url = new URL(target, "http://mirror.invalid");
    const namespace = url.searchParams.get("ns");
    assert.deepEqual(parseDistributionPath(url.pathname, namespace, "docker.io"), path);
  }
});

/** What a path asks for, or the code of its error. */
function listOf(pathname: string, namespace: string | null = null): unknown {
  try {
    return parseListPath(pathname, namespace, "docker.io");
  } catch (error) {
    assert.ok(error instanceof DistributionError, String(error));
    return error.distributionCode;
  }
}

Deno.test("parseListPath() reads requests for tags and referrers", () => {
  const docker = { registry: "docker.io", repository: "library/nginx" };
  assert.deepEqual(listOf("/v2/library/nginx/tags/list"), docker);
  assert.deepEqual(listOf("/v2/library/nginx/tags/list", "[fd00::1]:5000"), {
    ...docker,
    registry: "[fd00::1]:5000",
  });
  for (const subject of [DIGEST, SHA512]) {
    assert.deepEqual(listOf(`/v2/library/nginx/referrers/${subject}`), { ...docker, subject });
  }
  assert.deepEqual(listOf("/v2/a/manifests/tags/list"), {
    registry: "docker.io",
    repository: "a/manifests",
  });
});

Deno.test("parseListPath() leaves other paths alone", () => {
  for (
    const pathname of [
      "/v2/app/manifests/v1",
      `/v2/app/blobs/${DIGEST}`,
      "/v2/tags/list",
      "/v2//tags/list",
      "/v2/app/tags/list/",
      "/v2/app/tags",
      "/v2/app/referrers/",
      `/v2/app/referrers/${DIGEST}/more`,
      "/v2/_catalog",
    ]
  ) assert.equal(listOf(pathname), undefined, pathname);
});

Deno.test("parseListPath() refuses what is malformed", () => {
  assert.equal(listOf("/v2/App/tags/list"), "NAME_INVALID");
  assert.equal(listOf("/v2/../etc/tags/list"), "NAME_INVALID");
  assert.equal(listOf("/v2/app/tags/list", "../.."), "NAME_INVALID");
  assert.equal(listOf("/v2/app/referrers/%ff"), "NAME_INVALID");
  assert.equal(listOf("/v2/app/referrers/v1"), "DIGEST_INVALID");
  assert.equal(listOf(`/v2/app/referrers/md5:${"a".repeat(32)}`), "DIGEST_INVALID");
});
