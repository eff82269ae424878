/**
 * Does the node keep its identity?
 *
 * @module
 */
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { ConfigError } from "../../errors.ts";
import { KEY_FILE, readIdentity } from "../../routing/libp2p/identity.ts";
import type { Check } from "../check.ts";
import { reporter } from "../finding.ts";

const identity = reporter("identity");

/** The key file. */
export const identityCheck: Check = {
  name: "identity",
  async run({ settings: { dataDir }, mirror }) {
    if (dataDir === undefined) return [identity.found("identity-none", "no folder keeps it")];
    const path = `${dataDir}/${KEY_FILE}`;
    let id: string;
    try {
      id = peerIdFromPrivateKey(await readIdentity(path)).toString();
    } catch (error) {
      const { message } = error as Error;
      if (error instanceof ConfigError) return [identity.found("identity-invalid", message)];
      if (error instanceof Deno.errors.NotFound) {
        return [identity.found("identity-missing", `there is no ${path}`)];
      }
      return [identity.found("identity-denied", `${path}: ${message}`)];
    }
    if (mirror.kind === "told" && mirror.status.id !== id) {
      const what = `${path} is of ${id}, the mirror is ${mirror.status.id}`;
      return [identity.found("identity-unused", what)];
    }
    return [identity.ok(`${id} in ${path}`)];
  },
};
