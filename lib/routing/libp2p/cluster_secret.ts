/**
 * The secrets that make a node a member of the cluster, from a mounted file.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { hkdfSync } from "node:crypto";
import { ConfigError } from "../../errors.ts";

/** Shortest secret in characters: 24 random bytes as Base64, which nobody guesses. */
export const MIN_SECRET_LENGTH = 32;

/** Most secrets at the same time; a rotation needs two. */
export const MAX_SECRETS = 4;

/** What the key is for, so that the secret can serve another purpose without harm. */
const PURPOSE = "kagami cluster membership 1";

/** Bytes of a key. */
const KEY_BYTES = 32;

/** Keys of members: one for each secret, in the order of the file. */
export type MembershipKeys = readonly Uint8Array[];

/**
 * Reads the secrets: one a line. More than one are accepted at the same time, for the time of a rotation.
 *
 * @param path The file.
 * @returns Keys that are made from them.
 * @throws {ConfigError} If the file cannot be read, or has no secret, too many, or one that is too short. No secret is
 * in the message.
 */
export async function loadMembershipKeys(path: string): Promise<MembershipKeys> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`cannot read the cluster secret ${path}: ${reason}`, { cause: error });
  }
  const secrets = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (secrets.length === 0) throw new ConfigError(`the cluster secret ${path} is empty`);
  if (secrets.length > MAX_SECRETS) {
    throw new ConfigError(`${path} has ${secrets.length} secrets, at most ${MAX_SECRETS} can be`);
  }
  const short = secrets.findIndex((secret) => secret.length < MIN_SECRET_LENGTH);
  if (short >= 0) {
    throw new ConfigError(
      `secret ${short + 1} of ${path} is shorter than ${MIN_SECRET_LENGTH} characters; ` +
        "make one with `openssl rand -base64 32`",
    );
  }
  return secrets.map(membershipKey);
}

/**
 * Makes the key of a secret.
 *
 * @param secret The secret.
 * @returns The key.
 */
export function membershipKey(secret: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, Buffer.alloc(0), PURPOSE, KEY_BYTES));
}
