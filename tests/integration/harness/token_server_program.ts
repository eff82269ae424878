/**
 * A program that gives out tokens for a registry, as Docker Hub's does: to anybody, with what they may do in them.
 *
 * One argument: {@linkcode TokenServerSetup} as JSON.
 *
 * @see https://distribution.github.io/distribution/spec/auth/token/
 * @module
 */
import { Buffer } from "node:buffer";
import { sign } from "node:crypto";
import { basicAuthorization, type Credentials } from "../../../lib/registry/basic_auth.ts";

/** What a token server is to do. */
export interface TokenServerSetup {
  readonly port: number;
  /** Files with what tokens are signed with. */
  readonly key: string;
  readonly certificate: string;
  /** May push and pull everything. */
  readonly owner: Credentials;
  /** Who may pull from which repositories; `anybody` needs no password, all others have the owner's. */
  readonly repositories: Readonly<Record<string, readonly string[]>>;
}

const LIFETIME_S = 3600;

function encode(data: unknown): string {
  return Buffer.from(JSON.stringify(data)).toString("base64url");
}

/** Whoever asks, by name; undefined for a wrong password. */
function userOf(header: string | null, setup: TokenServerSetup): string | undefined {
  if (header === null) return "anybody";
  const { password } = setup.owner;
  return [setup.owner.username, ...Object.keys(setup.repositories)]
    .find((username) => header === basicAuthorization({ username, password }));
}

async function serve(setup: TokenServerSetup): Promise<void> {
  const key = await Deno.readTextFile(setup.key);
  const certificate = (await Deno.readTextFile(setup.certificate)).replace(
    /-----[^-]+-----|\n/g,
    "",
  );
  const header = encode({ typ: "JWT", alg: "ES256", x5c: [certificate] });

  const tokenFor = (user: string, url: URL): string => {
    const access = url.searchParams.getAll("scope").flatMap((scope) => {
      const [type, name = "", actions = ""] = scope.split(":");
      const isOwner = user === setup.owner.username;
      const mayPull = isOwner || [...setup.repositories[user] ?? []].includes(name);
      if (!mayPull) return [];
      return [{ type, name, actions: isOwner ? actions.split(",") : ["pull"] }];
    });
    const now = Math.floor(Date.now() / 1000);
    const times = { nbf: now - 10, iat: now, exp: now + LIFETIME_S };
    const claims = { iss: "test", sub: user, aud: "test", jti: crypto.randomUUID(), access };
    const text = `${header}.${encode({ ...claims, ...times })}`;
    const signature = sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
    return `${text}.${signature.toString("base64url")}`;
  };

  Deno.serve({ port: setup.port }, (request) => {
    if (request.method !== "GET") return new Response("no OAuth here", { status: 405 });
    const user = userOf(request.headers.get("authorization"), setup);
    if (user === undefined) return new Response("wrong password", { status: 401 });
    return Response.json({ token: tokenFor(user, new URL(request.url)) });
  });
}

if (import.meta.main) await serve(JSON.parse(Deno.args[0]!));
