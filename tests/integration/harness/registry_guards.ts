/**
 * What guards an upstream registry: a list of passwords, or a server that gives out tokens.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { Credentials } from "../../../lib/registry/basic_auth.ts";
import { inside, type NetworkNode, runInside } from "./network.ts";
import { eventually, ManagedProcess, run } from "./process.ts";
import type { TokenServerSetup } from "./token_server_program.ts";
import type { RegistryGuard } from "./upstream_registry.ts";

/** Who may push, and pull everything. */
export const OWNER: Credentials = { username: "owner", password: "wonderland" };

/** bcrypt of the owner's password, which is all that the registry reads. */
const HASH = "$2b$05$abcdefghijklmnopqrstuuA0vov2GDneHB3.8.cv9UF9g.RdvScIW";

const PROGRAM = fileURLToPath(new URL("./token_server_program.ts", import.meta.url));
const TOKEN_PORT = 5443;

/** Lets in whoever knows a password: all of them the owner's. */
export async function passwordGuard(
  folder: string,
  users: readonly string[] = [],
): Promise<RegistryGuard> {
  const path = `${folder}/htpasswd`;
  await writeUsers(folder, users);
  return { owner: OWNER, yaml: `auth: {htpasswd: {realm: test, path: ${path}}}` };
}

/** Changes who is let in besides the owner; the registry sees it at its next request. */
export async function writeUsers(folder: string, users: readonly string[]): Promise<void> {
  const lines = [OWNER.username, ...users].map((user) => `${user}:${HASH}`);
  await Deno.writeTextFile(`${folder}/htpasswd`, lines.join("\n") + "\n");
}

/** Lets in whoever has a token of a server that runs beside the registry. */
export async function tokenGuard(
  node: NetworkNode,
  folder: string,
  stack: AsyncDisposableStack,
  repositories: TokenServerSetup["repositories"],
): Promise<RegistryGuard> {
  const [key, certificate] = [`${folder}/token.key`, `${folder}/token.crt`];
  await run(
    ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"] as const,
    ...["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=tokens"],
    ...["-keyout", key, "-out", certificate],
  );
  const setup: TokenServerSetup = {
    ...{ port: TOKEN_PORT, key, certificate, owner: OWNER, repositories },
  };
  const command = [Deno.execPath(), "run", "-A", "--no-check", PROGRAM, JSON.stringify(setup)];
  stack.use(
    await ManagedProcess.start(
      "token server",
      `${folder}/tokens.log`,
      "ip",
      inside(node, ...command),
    ),
  );
  const realm = `http://${node.ip}:${TOKEN_PORT}/token`;
  await eventually("the token server answers", async () => {
    return (await runInside(node, "curl", "-s", realm)).code === 0;
  });
  const settings =
    `{realm: "${realm}", service: test, issuer: test, rootcertbundle: ${certificate}}`;
  return { owner: OWNER, yaml: `auth: {token: ${settings}}` };
}
