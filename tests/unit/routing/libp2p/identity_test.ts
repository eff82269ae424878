import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import type { PrivateKey } from "@libp2p/interface";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { ConfigError } from "../../../../lib/errors.ts";
import { silentLogger } from "../../../../lib/observability/logger.ts";
import { KEY_FILE, loadIdentity } from "../../../../lib/routing/libp2p/identity.ts";
import { recordingLog } from "../../cli/recording_log.ts";

/** The example of RFC 8410: an ed25519 key as PKCS#8 PEM, which is what Spegel writes. */
const PEM = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
`;
const PUBLIC_KEY = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

async function dataFolder() {
  const path = await Deno.makeTempDir();
  return {
    path,
    keyFile: `${path}/${KEY_FILE}`,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

function idOf(key: PrivateKey): string {
  return peerIdFromPrivateKey(key).toString();
}

Deno.test("loadIdentity() reads a key that Spegel wrote", async () => {
  await using folder = await dataFolder();
  await Deno.writeTextFile(folder.keyFile, PEM);
  const key = await loadIdentity(folder.path, silentLogger);
  assert.equal(key.type, "Ed25519");
  // A peer ID of an ed25519 key holds the public key itself.
  assert.equal(
    peerIdFromPrivateKey(key).toMultihash().bytes.toHex(),
    `002408011220${PUBLIC_KEY}`,
  );
  assert.equal(await Deno.readTextFile(folder.keyFile), PEM, "the file is left as it is");
});

Deno.test("loadIdentity() creates a key as PKCS#8 PEM, for its owner alone, and keeps it", async () => {
  await using folder = await dataFolder();
  const path = `${folder.path}/deep/data`;
  const first = await loadIdentity(path, silentLogger);
  const pem = await Deno.readTextFile(`${path}/${KEY_FILE}`);
  assert.match(pem, /^-----BEGIN PRIVATE KEY-----\n/);
  assert.equal(createPrivateKey(pem).asymmetricKeyType, "ed25519");
  assert.equal((await Deno.stat(`${path}/${KEY_FILE}`)).mode! & 0o777, 0o600);
  assert.equal(idOf(await loadIdentity(path, silentLogger)), idOf(first));
  const names = await Array.fromAsync(Deno.readDir(path), ({ name }) => name);
  assert.deepEqual(names, [KEY_FILE], "nothing else is left in the folder");
});

Deno.test("loadIdentity() without a folder makes another key each time", async () => {
  const ids = [
    idOf(await loadIdentity(undefined, silentLogger)),
    idOf(await loadIdentity("", silentLogger)),
  ];
  assert.notEqual(ids[0], ids[1]);
});

Deno.test("loadIdentity() names the file that holds no key, and leaves it alone", async () => {
  await using folder = await dataFolder();
  for (const content of ["", "not a key", PEM.replace("MC4C", "MC4D")]) {
    await Deno.writeTextFile(folder.keyFile, content);
    await assert.rejects(
      loadIdentity(folder.path, silentLogger),
      (error: Error) => error instanceof ConfigError && error.message.includes(folder.keyFile),
    );
    assert.equal(await Deno.readTextFile(folder.keyFile), content);
  }
});

Deno.test("loadIdentity() refuses a key of another type, and says which", async () => {
  await using folder = await dataFolder();
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await Deno.writeTextFile(
    folder.keyFile,
    privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  );
  await assert.rejects(
    loadIdentity(folder.path, silentLogger),
    (error: Error) =>
      error instanceof ConfigError && /private\.key holds a key of type ec\b/.test(error.message),
  );
});

Deno.test("loadIdentity() goes on with a key for this run where the file cannot be read or written", async () => {
  await using folder = await dataFolder();
  await Deno.mkdir(folder.keyFile);
  await Deno.writeTextFile(`${folder.path}/file`, "");
  for (const path of [folder.path, `${folder.path}/file`]) {
    const { log, lines } = recordingLog();
    const ids = [idOf(await loadIdentity(path, log)), idOf(await loadIdentity(path, log))];
    assert.notEqual(ids[0], ids[1]);
    assert.deepEqual(lines.map(({ level }) => level), ["WARN", "WARN"]);
    assert.equal(lines[0]!["path"], `${path}/${KEY_FILE}`);
  }
});
