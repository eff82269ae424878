/**
 * Reads the credentials of basic authentication from a mounted secret.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { Credentials } from "./basic_auth.ts";

/**
 * Reads the files `username` and `password`.
 *
 * @param folder Where the secret is mounted.
 * @returns The credentials; undefined if there are none.
 * @throws {ConfigError} If only one of the files is there, or one cannot be read.
 */
export async function loadCredentials(folder: string): Promise<Credentials | undefined> {
  const username = await readSecret(`${folder}/username`);
  const password = await readSecret(`${folder}/password`);
  if (username === undefined && password === undefined) return undefined;
  if (username === undefined || password === undefined) {
    const missing = username === undefined ? "username" : "password";
    throw new ConfigError(`${folder} has no file ${missing}; it needs username and password`);
  }
  return { username, password };
}

async function readSecret(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`cannot read ${path}: ${reason}`, { cause: error });
  }
}
