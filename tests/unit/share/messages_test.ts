import assert from "node:assert/strict";
import { MAX_MANIFEST_SIZE } from "../../../lib/oci/manifest.ts";
import { OCI_INDEX, OCTET_STREAM } from "../../../lib/oci/media_types.ts";
import {
  MAX_REPORT_ENTRIES,
  MAX_TOLD_DOWNLOADS,
  parseDownloads,
  parseInstruction,
  parseQuestion,
  parseQueued,
  parseResolution,
} from "../../../lib/share/messages.ts";

const KEY = `sha256:${"a".repeat(64)}`;
const WANT = { type: "want", key: KEY, offset: 5, fetching: 1, hops: 0 };
const ENTRY = { key: KEY, state: "following", offset: 7, parent: "p" };
const RESOLVE = {
  type: "resolve",
  registry: "registry.test:5000",
  repository: "team/app",
  tag: "v1",
};
const DESCRIPTOR = { digest: KEY, mediaType: OCI_INDEX, size: 500 };
const PEER = { id: "p", addresses: ["10.0.0.1", "fd00::1"], registryPort: 5000 };

Deno.test("parseQuestion() takes what nodes send, and leaves unknown fields out", () => {
  assert.deepEqual(parseQuestion({ ...WANT, extra: 1 }), WANT);
  assert.deepEqual(parseQuestion({ ...WANT, broken: "p" }), { ...WANT, broken: "p" });
  assert.deepEqual(parseQuestion({ ...WANT, lost: true }), { ...WANT, lost: true });
  assert.deepEqual(parseQuestion({ ...WANT, isLed: true }), { ...WANT, isLed: true });
  assert.deepEqual(parseQuestion({ ...WANT, lost: 1, isLed: "yes" }), WANT);
  assert.deepEqual(parseQuestion({ type: "look", key: KEY, extra: 1 }), { type: "look", key: KEY });
  assert.deepEqual(parseQuestion({ ...RESOLVE, extra: 1 }), RESOLVE);
  const { parent: _parent, ...rest } = ENTRY;
  const report = {
    type: "report",
    entries: [ENTRY, { ...rest, state: "done", total: 9, isQueued: true }],
  };
  assert.deepEqual(parseQuestion(report), report);
});

Deno.test("parseQueued() takes the keys that a coordinator tells, and nothing else", () => {
  assert.deepEqual(parseQueued({ do: "go on", queued: [KEY, 1, "v1"] }), [KEY]);
  for (const value of [undefined, {}, { do: "go on" }, { queued: KEY }]) {
    assert.deepEqual(parseQueued(value), []);
  }
});

Deno.test("parseQuestion() refuses all else", () => {
  const wrong = [
    undefined,
    null,
    "want",
    {},
    { ...WANT, type: "other" },
    { type: "look" },
    { ...RESOLVE, registry: "registry.test/team" },
    { ...RESOLVE, registry: "user@registry.test" },
    { ...RESOLVE, registry: ".." },
    { ...RESOLVE, registry: undefined },
    { ...RESOLVE, repository: "../app" },
    { ...RESOLVE, repository: "app?a=b" },
    { ...RESOLVE, repository: ["app"] },
    { ...RESOLVE, tag: "v1/../../other" },
    { ...RESOLVE, tag: KEY },
    { ...RESOLVE, tag: 1 },
    { type: "look", key: "docker.io/library/nginx:1.27" },
    { ...WANT, key: "docker.io/library/nginx:1.27" },
    { ...WANT, offset: -1 },
    { ...WANT, offset: 1.5 },
    { ...WANT, offset: "5" },
    { ...WANT, fetching: undefined },
    { ...WANT, hops: NaN },
    { ...WANT, broken: "" },
    { ...WANT, broken: "x".repeat(1000) },
    { type: "report", entries: "none" },
    { type: "report", entries: [ENTRY, { ...ENTRY, state: "wanting" }] },
    { type: "report", entries: [{ ...ENTRY, parent: 5 }] },
    { type: "report", entries: [null] },
    { type: "report", entries: Array(MAX_REPORT_ENTRIES + 1).fill(ENTRY) },
  ];
  for (const value of wrong) assert.equal(parseQuestion(value), undefined, JSON.stringify(value));
});

Deno.test("parseInstruction() takes what coordinators answer", () => {
  assert.deepEqual(parseInstruction({ do: "fetch", extra: 1 }), { do: "fetch" });
  assert.deepEqual(parseInstruction({ do: "ask", id: "p" }), { do: "ask", id: "p" });
  const follow = { do: "follow", peer: PEER };
  assert.deepEqual(parseInstruction(follow), follow);
});

Deno.test("parseInstruction() refuses all else", () => {
  const wrong = [
    null,
    "fetch",
    { do: "wait" },
    { do: "ask" },
    { do: "follow" },
    { do: "follow", peer: { ...PEER, id: 5 } },
    { do: "follow", peer: { ...PEER, addresses: ["example.com"] } },
    { do: "follow", peer: { ...PEER, addresses: Array(9).fill("10.0.0.1") } },
    { do: "follow", peer: { ...PEER, registryPort: 0 } },
    { do: "follow", peer: { ...PEER, registryPort: 65_536 } },
  ];
  for (const value of wrong) {
    assert.equal(parseInstruction(value), undefined, JSON.stringify(value));
  }
});

Deno.test("parseDownloads() takes what coordinators tell, and refuses all else", () => {
  const download = { peer: PEER, state: "following", offset: 5, total: 9 };
  const { total: _total, ...rest } = download;
  assert.deepEqual(parseDownloads({ downloads: [download, rest] }), [download, rest]);
  const wrong = [
    undefined,
    {},
    { downloads: {} },
    { downloads: [download, null] },
    { downloads: [{ ...download, state: "done" }] },
    { downloads: [{ ...download, offset: -1 }] },
    { downloads: [{ ...download, peer: { ...PEER, registryPort: 0 } }] },
    { downloads: Array(MAX_TOLD_DOWNLOADS + 1).fill(download) },
  ];
  for (const value of wrong) assert.equal(parseDownloads(value), undefined, JSON.stringify(value));
});

Deno.test("parseResolution() takes what coordinators tell of a tag, and refuses all else", () => {
  const { digest: _digest, ...rest } = DESCRIPTOR;
  assert.deepEqual(parseResolution({ extra: 1 }), {});
  assert.deepEqual(parseResolution({ away: true }), { away: true });
  assert.deepEqual(parseResolution({ away: "yes" }), {});
  assert.deepEqual(parseResolution({ descriptor: DESCRIPTOR, away: true }), {
    descriptor: DESCRIPTOR,
  });
  assert.deepEqual(parseResolution({ descriptor: { ...DESCRIPTOR, extra: 1 } }), {
    descriptor: DESCRIPTOR,
  });
  const wrong = [
    undefined,
    null,
    "sha256",
    { descriptor: null },
    { descriptor: KEY },
    { descriptor: rest },
    { descriptor: { ...DESCRIPTOR, digest: "sha256:abc" } },
    { descriptor: { ...DESCRIPTOR, mediaType: OCTET_STREAM } },
    { descriptor: { ...DESCRIPTOR, mediaType: `${OCI_INDEX}\r\nX-Other: a` } },
    { descriptor: { ...DESCRIPTOR, size: -1 } },
    { descriptor: { ...DESCRIPTOR, size: "500" } },
    { descriptor: { ...DESCRIPTOR, size: MAX_MANIFEST_SIZE + 1 } },
  ];
  for (const value of wrong) assert.equal(parseResolution(value), undefined, JSON.stringify(value));
});
