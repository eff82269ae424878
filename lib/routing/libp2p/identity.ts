/**
 * The node's ed25519 identity, kept as PKCS#8 PEM in `private.key`, the format and place of Spegel.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { privateKeyFromRaw } from "@libp2p/crypto/keys";
import type { PrivateKey } from "@libp2p/interface";
import { ConfigError } from "../../errors.ts";
import type { Logger } from "../../observability/logger.ts";

/** Name of the key file in the data folder. */
export const KEY_FILE = "private.key";

/**
 * Loads the identity of this node, or makes one.
 *
 * @param dataDir Folder of the key file. Empty or left out: a new identity at every start.
 * @param log Told when the identity cannot be kept.
 * @returns The identity.
 * @throws {ConfigError} If the key file holds something else than an ed25519 key.
 *
 * @example
 * ```ts
 * const key = await loadIdentity("/var/lib/kagami", log);
 * ```
 */
export async function loadIdentity(
  dataDir: string | undefined,
  log: Logger,
): Promise<PrivateKey> {
  if (dataDir === undefined || dataDir === "") return toLibp2p(newKey());
  const path = `${dataDir}/${KEY_FILE}`;
  try {
    return await readIdentity(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      if (error instanceof ConfigError) throw error;
      log.warn("cannot read the identity, using one for this run only", { path, error });
      return toLibp2p(newKey());
    }
  }
  const key = newKey();
  try {
    await writeKey(dataDir, path, key);
    log.info("created a new identity", { path });
  } catch (error) {
    log.warn("cannot keep the identity, using one for this run only", { path, error });
  }
  return toLibp2p(key);
}

/**
 * Reads an identity.
 *
 * @param path The key file.
 * @returns The identity.
 * @throws {ConfigError} If the file holds something else than an ed25519 key. Errors of reading it pass.
 */
export async function readIdentity(path: string): Promise<PrivateKey> {
  return toLibp2p(parseKey(await Deno.readTextFile(path), path));
}

function newKey(): KeyObject {
  return generateKeyPairSync("ed25519").privateKey;
}

function parseKey(pem: string, path: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new ConfigError(
      `${path} is not a private key in PKCS#8 PEM; remove it to have a new identity made`,
      { cause },
    );
  }
  if (key.asymmetricKeyType !== "ed25519") {
    throw new ConfigError(
      `${path} holds a key of type ${key.asymmetricKeyType}, ed25519 is needed; remove it to have a new one made`,
    );
  }
  return key;
}

function toLibp2p(key: KeyObject): PrivateKey {
  const { d, x } = key.export({ format: "jwk" });
  // libp2p takes the seed followed by the public key, as Go's ed25519.PrivateKey.
  return privateKeyFromRaw(
    Uint8Array.from(
      Buffer.concat([Buffer.from(d ?? "", "base64url"), Buffer.from(x ?? "", "base64url")]),
    ),
  );
}

async function writeKey(dataDir: string, path: string, key: KeyObject): Promise<void> {
  await Deno.mkdir(dataDir, { recursive: true, mode: 0o755 });
  // Written beside and renamed, so that a crash leaves the whole key or none.
  const temporary = await Deno.makeTempFile({ dir: dataDir, prefix: `.${KEY_FILE}-` });
  try {
    await Deno.writeTextFile(temporary, key.export({ type: "pkcs8", format: "pem" }) as string);
    await Deno.chmod(temporary, 0o600);
    using file = await Deno.open(temporary, { write: true });
    await file.sync();
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}
