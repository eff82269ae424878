/**
 * Reads and writes one Lease of the Kubernetes API.
 *
 * @see https://kubernetes.io/docs/concepts/architecture/leases/
 * @module
 */
import { UnavailableError } from "../../errors.ts";
import {
  type KubernetesAnswer,
  KubernetesApi,
  type KubernetesApiOptions,
} from "./kubernetes_api.ts";

/** What Kagami keeps in a Lease. */
export interface LeaseRecord {
  /** Peer ID of the leader; empty when it has left. */
  readonly holder: string;
  /** Multiaddrs of the leader. */
  readonly addresses: readonly string[];
  /** How long the leader holds the Lease after its last renewal, in seconds. */
  readonly durationSeconds: number;
  /** Number of changes of the leader. */
  readonly transitions: number;
  /** Version that the API server gave it; writes on an older version are refused. */
  readonly version: string;
}

/** A record to write. */
export type NewLeaseRecord = Omit<LeaseRecord, "version">;

/** Access to one Lease. */
export interface LeaseClient extends Disposable {
  /**
   * @param signal Ends the request.
   * @returns The record, or undefined if there is no Lease.
   * @throws {UnavailableError} If the API server does not answer, or refuses.
   */
  read(signal: AbortSignal): Promise<LeaseRecord | undefined>;
  /**
   * Creates the Lease, or replaces a version of it.
   *
   * @param record What to write.
   * @param version The version that is replaced; undefined to create.
   * @param signal Ends the request.
   * @returns What was written, or undefined if somebody else was faster.
   * @throws {UnavailableError} If the API server does not answer, or refuses.
   */
  write(
    record: NewLeaseRecord,
    version: string | undefined,
    signal: AbortSignal,
  ): Promise<LeaseRecord | undefined>;
}

/** Annotation with the leader's multiaddrs, separated by commas. */
export const ADDRESSES_ANNOTATION = "kagami.dev/addresses";

/** Options of {@linkcode createLeaseClient}. */
export interface LeaseClientOptions extends KubernetesApiOptions {
  /** Namespace of the Lease. Default: the pod's own. */
  readonly namespace?: string;
  readonly name: string;
}

/** A Lease as it goes over the wire, as far as it matters here. */
interface WireLease {
  readonly metadata?: {
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly leaseTransitions?: number;
  };
}

/**
 * Reads and writes a Lease with the pod's credentials.
 *
 * @param options Which Lease.
 * @returns The client. It looks for the credentials only when it is used.
 */
export function createLeaseClient(options: LeaseClientOptions): LeaseClient {
  const api = new KubernetesApi(options);
  const { name } = options;
  const folder = async () => {
    const namespace = options.namespace ?? await api.namespace();
    return `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  };
  return {
    async read(signal) {
      const answer = await api.request("GET", `${await folder()}/${name}`, signal);
      return answer.status === 404 ? undefined : toRecord(answer);
    },
    async write(record, version, signal) {
      const lease = toLease(record, name, version, new Date());
      const answer = version === undefined
        ? await api.request("POST", await folder(), signal, lease)
        : await api.request("PUT", `${await folder()}/${name}`, signal, lease);
      // Somebody else has written, or has deleted what was to be replaced.
      const { status } = answer;
      if (status === 409 || (status === 404 && version !== undefined)) return undefined;
      return toRecord(answer);
    },
    [Symbol.dispose]: () => api[Symbol.dispose](),
  };
}

/** @throws {UnavailableError} If the answer is a refusal, told in one line that is the same for the same trouble. */
function toRecord({ status, body }: KubernetesAnswer): LeaseRecord {
  if (status < 200 || status > 299) {
    const { message } = (body ?? {}) as { message?: unknown };
    const detail = typeof message === "string" ? `: ${message.replaceAll(/\s+/g, " ")}` : "";
    throw new UnavailableError(`the Kubernetes API answers ${status}${detail}`);
  }
  if ((body as { kind?: unknown } | undefined)?.kind !== "Lease") {
    throw new UnavailableError("the Kubernetes API answers something else than a Lease");
  }
  const { metadata, spec } = body as WireLease;
  const addresses = metadata?.annotations?.[ADDRESSES_ANNOTATION] ?? "";
  return {
    holder: spec?.holderIdentity ?? "",
    addresses: addresses.split(",").filter((address) => address !== ""),
    durationSeconds: spec?.leaseDurationSeconds ?? 0,
    transitions: spec?.leaseTransitions ?? 0,
    version: metadata?.resourceVersion ?? "",
  };
}

function toLease(
  record: NewLeaseRecord,
  name: string,
  version: string | undefined,
  now: Date,
): object {
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: {
      name,
      annotations: { [ADDRESSES_ANNOTATION]: record.addresses.join(",") },
      ...(version === undefined ? {} : { resourceVersion: version }),
    },
    spec: {
      holderIdentity: record.holder,
      leaseDurationSeconds: record.durationSeconds,
      leaseTransitions: record.transitions,
      // Of a type with microseconds.
      renewTime: now.toISOString().replace(/Z$/, "000Z"),
    },
  };
}
