/**
 * The gate before private content: who may have it from here, and under which name.
 *
 * @module
 */
import { NotFoundError } from "../errors.ts";
import type { DistributionPath, ListPath } from "../oci/distribution.ts";
import type { Digest } from "../oci/digest.ts";
import { DistributionError } from "../oci/distribution_error.ts";
import type { Source } from "../store/store.ts";
import type { Origins } from "./origins.ts";
import type { PrivateRegistries } from "./private_registries.ts";
import type { AccessProofs } from "./proofs.ts";

/** Options of {@linkcode AccessGate}. */
export interface AccessGateOptions {
  readonly registries: PrivateRegistries;
  readonly proofs: AccessProofs;
  readonly origins: Origins;
  /** Whether content is handed out without proof while its registry cannot be reached. */
  readonly opensWhenUnreachable: boolean;
}

/** Lets those pass who proved upstream that they may. */
export class AccessGate {
  readonly #options: AccessGateOptions;

  /**
   * @param options What is private, and who tells who may have it.
   */
  constructor(options: AccessGateOptions) {
    this.#options = options;
  }

  /**
   * @param source A repository.
   * @returns True if it is private.
   */
  covers(source: Source): boolean {
    return this.#options.registries.covers(source);
  }

  /**
   * Lets a client pass, or not.
   *
   * @param path What it asks for, of a private repository.
   * @param authorization Value of its `Authorization` header.
   * @throws {DistributionError} `UNAUTHORIZED` with the registry's challenge, if it has to come back with credentials;
   * `DENIED` with status 404 if it gets nothing from here and is to ask upstream itself.
   */
  async admit(path: DistributionPath | ListPath, authorization: string | undefined): Promise<void> {
    const { proofs, origins, opensWhenUnreachable } = this.#options;
    const { repository } = path;
    // One of many spellings, so that what is remembered by registry stays as short as the operator's list.
    const registry = path.registry.toLowerCase();
    const question = { registry, repository, path: questionOf(path), authorization };
    const verdict = await proofs.prove(question);
    const isOpen = verdict.result === "unreachable" && opensWhenUnreachable;
    const passes = verdict.result === "granted" || isOpen;
    if ("kind" in path && path.digest !== undefined) {
      origins.note({ registry, repository, digest: path.digest }, passes);
    }
    if (passes) return;
    const challenge = "challenge" in verdict ? verdict.challenge : undefined;
    // Told what is wrong with its token, containerd gets another one for its next request. A bare 401 it tries again here.
    const isOfUse = challenge !== undefined &&
      (verdict.result === "challenged" || /\berror="/.test(challenge));
    if (isOfUse) {
      const message = "the upstream registry wants credentials for this repository";
      throw new DistributionError("UNAUTHORIZED", message, { challenge });
    }
    throw new DistributionError("DENIED", REASONS[verdict.result], { status: 404 });
  }

  /**
   * Makes sure that content is handed out only under a name under which it came here.
   *
   * @param path What is asked for.
   * @param digest The content.
   * @throws {NotFoundError} If it came under other names only.
   * @throws {UnavailableError} If the store cannot be asked.
   */
  async checkName(path: DistributionPath, digest: Digest): Promise<void> {
    // A tag was found under this very name.
    if (path.digest === undefined) return;
    const { registry, repository } = path;
    if (await this.#options.origins.allows({ registry, repository, digest })) return;
    throw new NotFoundError(`${digest} is private and not known as ${registry}/${repository}`);
  }
}

const REASONS = {
  granted: "",
  challenged: "",
  refused: "access to this repository was not proven upstream",
  unreachable: "the upstream registry cannot be asked about access",
  busy: "too many questions about access are under way",
} as const;

function questionOf(path: DistributionPath | ListPath): string {
  if ("kind" in path) return `${path.kind}/${path.digest ?? path.tag}`;
  return path.subject === undefined ? "tags/list?n=1" : `manifests/${path.subject}`;
}
