import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { keyspacePosition, providerKey } from "../../../../lib/routing/libp2p/provider_key.ts";

Deno.test("providerKey() makes a CIDv1, codec raw, sha2-256 of the text", () => {
  // The CID that IPFS's tools print for the raw block "hello world".
  const known = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
  const key = providerKey("hello world");
  assert.equal(key.text, "hello world");
  assert.equal(key.cid.toString(), known);
  assert.equal(key.cid.version, 1);
  assert.equal(
    key.multihash.toHex(),
    "1220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
  );
});

Deno.test("the record name is the multihash in base32, as kad-dht names records", () => {
  const { cid, recordName } = providerKey("hello world");
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  const bits = [...recordName].map((char) => alphabet.indexOf(char).toString(2).padStart(5, "0"));
  const bytes = bits.join("").match(/.{8}/g)!.map((octet) => parseInt(octet, 2));
  assert.deepEqual(bytes, [...cid.multihash.bytes]);
  assert.equal(recordName.length, 55);
});

Deno.test("the place in the keyspace is the sha2-256 of the multihash", () => {
  const { multihash, position } = providerKey("docker.io/library/nginx:1.27");
  assert.deepEqual([...position], [...createHash("sha256").update(multihash).digest()]);
  assert.deepEqual([...keyspacePosition(multihash)], [...position]);
});

Deno.test("texts other than ASCII are hashed as UTF-8", () => {
  const hash = createHash("sha256").update("ghcr.io/ü:1", "utf8").digest("hex");
  assert.equal(providerKey("ghcr.io/ü:1").multihash.toHex(), `1220${hash}`);
});
