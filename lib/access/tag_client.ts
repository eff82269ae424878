/**
 * Asks an upstream registry what a tag stands for, as anybody may: without credentials, with a token for anybody where the
 * registry wants one.
 *
 * @see https://distribution.github.io/distribution/spec/auth/token/
 * @module
 */
import { UnavailableError } from "../errors.ts";
import { isDigest } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import { isManifestMediaType } from "../oci/media_types.ts";
import type { TagReference } from "../oci/reference.ts";
import type { Descriptor } from "../store/store.ts";
import {
  MAX_CHALLENGE_LENGTH,
  UNAVAILABLE,
  type UpstreamClient,
  type UpstreamHead,
} from "./upstream_client.ts";

/** Longest answer of a server that gives out tokens, in bytes. */
export const MAX_TOKEN_ANSWER_BYTES = 64 * 1024;

/** Says that a registry wants to be left alone for a while. */
const TOO_MANY_REQUESTS = 429;

/**
 * Asks what a tag stands for.
 *
 * @param client Reaches the registry.
 * @param tag The tag.
 * @param signal Ends it.
 * @returns The manifest's descriptor; undefined if the registry does not tell it to anybody.
 * @throws {Error} If the registry cannot be asked.
 */
export async function describeTag(
  client: UpstreamClient,
  { registry, repository, tag }: TagReference,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  const ask = async (authorization?: string) => {
    const path = `manifests/${tag}`;
    const head = await client.head({ registry, repository, path, authorization }, signal);
    if (UNAVAILABLE.includes(head.status) || head.status === TOO_MANY_REQUESTS) {
      throw new UnavailableError(`${registry} answers ${head.status}`);
    }
    return head;
  };
  const head = await ask();
  if (head.status !== 401) return descriptorOf(head);
  const realm = realmOf(head);
  if (realm === undefined) return undefined;
  const token = tokenIn(await client.read(registry, realm, MAX_TOKEN_ANSWER_BYTES, signal));
  return token === undefined ? undefined : descriptorOf(await ask(`Bearer ${token}`));
}

function descriptorOf({ status, headers }: UpstreamHead): Descriptor | undefined {
  const digest = headers["docker-content-digest"]?.[0];
  const mediaType = headers["content-type"]?.[0]?.split(";")[0]?.trim();
  const length = headers["content-length"]?.[0];
  if (status !== 200 || digest === undefined || !isDigest(digest)) return undefined;
  if (mediaType === undefined || !isManifestMediaType(mediaType)) return undefined;
  if (length === undefined || !/^[0-9]{1,10}$/.test(length)) return undefined;
  const size = Number(length);
  return size > 0 && size <= MAX_MANIFEST_SIZE ? { digest, mediaType, size } : undefined;
}

/** Where a token for anybody is to be had. */
function realmOf({ headers }: UpstreamHead): URL | undefined {
  for (const challenge of headers["www-authenticate"] ?? []) {
    if (challenge.length > MAX_CHALLENGE_LENGTH || !/^bearer /i.test(challenge)) continue;
    const parameters = new Map(
      [...challenge.matchAll(/([a-z]+)="([^"]*)"/gi)].map(([, name, value]) =>
        [name!.toLowerCase(), value!] as const
      ),
    );
    const url = URL.parse(parameters.get("realm") ?? "");
    if (url === null) continue;
    for (const name of ["service", "scope"]) {
      const value = parameters.get(name);
      if (value !== undefined) url.searchParams.set(name, value);
    }
    return url;
  }
  return undefined;
}

function tokenIn(body: { toString(): string } | undefined): string | undefined {
  if (body === undefined) return undefined;
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString());
  } catch {
    return undefined;
  }
  if (typeof answer !== "object" || answer === null) return undefined;
  const { token, access_token: other } = answer as Record<string, unknown>;
  const text = token ?? other;
  // Whatever else would not do as a header.
  return typeof text === "string" && /^[\x21-\x7e]+$/.test(text) ? text : undefined;
}
