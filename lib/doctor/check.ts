/**
 * What a check is, and what it is given.
 *
 * @module
 */
import type { DoctorSettings } from "../config/config.ts";
import type { NodeStatus } from "../debug/node_status.ts";
import type { ContainerdFacts } from "../store/containerd/preflight.ts";
import type { Store } from "../store/store.ts";
import type { Finding } from "./finding.ts";
import type { HttpAnswer, HttpAsker } from "./http_asker.ts";
import type { NodeClient } from "./node_client.ts";

/** What the running mirror says of itself. */
export type MirrorState =
  | { readonly kind: "told"; readonly status: NodeStatus }
  /** It serves metrics and tells nothing more. */
  | { readonly kind: "untold" }
  | { readonly kind: "silent"; readonly reason: string };

/** What checks look at. */
export interface CheckContext {
  readonly settings: DoctorSettings;
  /** What the doctor was given, where the running mirror has something else: by the option's name. */
  readonly differences: readonly string[];
  readonly configPath: string;
  /** Whether this process sees only what is mounted. */
  readonly isInPod: boolean;
  readonly mirror: MirrorState;
  readonly node: NodeClient;
  readonly ask: HttpAsker;
  /** Answer of the mirror's own `/readyz`; an error if there is none. */
  readonly readiness: HttpAnswer | Error;
  /** `Authorization` header that mirrors want. */
  readonly authorization?: string;
  /** What containerd tells; an error if it tells nothing. */
  readonly containerd: ContainerdFacts | Error;
  readonly store: Store;
  /** Monotonic clock in milliseconds. */
  now(): number;
}

/** One thing to look at. */
export interface Check {
  readonly name: string;
  /**
   * Looks.
   *
   * @param context What to look at.
   * @param signal Aborted when time is up.
   * @returns What was found; nothing if it does not apply, or if another check tells why nothing can be found.
   */
  run(context: CheckContext, signal: AbortSignal): Promise<readonly Finding[]>;
}
