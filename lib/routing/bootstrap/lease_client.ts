/**
 * Reads and writes one Lease of the Kubernetes API.
 *
 * @see https://kubernetes.io/docs/concepts/architecture/leases/
 * @module
 */
import type { ConfigurationOptions, V1Lease, V1MicroTime } from "@kubernetes/client-node";
import { UnavailableError } from "../../errors.ts";

/** Folder with the credentials of a pod. */
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

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
export interface LeaseClient {
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
export interface LeaseClientOptions {
  /** Namespace of the Lease. Default: the pod's own. */
  readonly namespace?: string;
  readonly name: string;
  /** File with the credentials. Default: the pod's service account, or else KUBECONFIG as for kubectl. */
  readonly kubeconfig?: string;
}

/**
 * Connects to the API server with the pod's credentials.
 *
 * @param options Which Lease.
 * @returns The client. The library behind it is loaded only here: nodes that bootstrap otherwise do not pay for it.
 * @throws {UnavailableError} If there are no credentials.
 */
export async function createLeaseClient(options: LeaseClientOptions): Promise<LeaseClient> {
  const { KubeConfig, CoordinationV1Api, Observable, V1MicroTime } = await import(
    "@kubernetes/client-node"
  );
  const config = new KubeConfig();
  let api: InstanceType<typeof CoordinationV1Api>;
  try {
    if (options.kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(options.kubeconfig);
    api = config.makeApiClient(CoordinationV1Api);
  } catch (cause) {
    throw new UnavailableError(`no credentials for the Kubernetes API: ${messageOf(cause)}`, {
      cause,
    });
  }
  const namespace = options.namespace ?? await ownNamespace();
  const { name } = options;
  /** Options of a call that the signal ends. */
  const endedBy = (signal: AbortSignal): ConfigurationOptions => ({
    middleware: [{
      pre: (context) => {
        context.setSignal(signal);
        return new Observable(Promise.resolve(context));
      },
      post: (context) => new Observable(Promise.resolve(context)),
    }],
    middlewareMergeStrategy: "append",
  });

  return {
    async read(signal) {
      try {
        return toRecord(await api.readNamespacedLease({ name, namespace }, endedBy(signal)));
      } catch (error) {
        if (statusOf(error) === 404) return undefined;
        throw unavailable(error);
      }
    },
    async write(record, version, signal) {
      const body = toLease(record, { name, namespace, version }, new V1MicroTime());
      try {
        const written = version === undefined
          ? await api.createNamespacedLease({ namespace, body }, endedBy(signal))
          : await api.replaceNamespacedLease({ name, namespace, body }, endedBy(signal));
        return toRecord(written);
      } catch (error) {
        const status = statusOf(error);
        // Somebody else has written, or has deleted what was to be replaced.
        if (status === 409 || (status === 404 && version !== undefined)) return undefined;
        throw unavailable(error);
      }
    },
  };
}

async function ownNamespace(): Promise<string> {
  try {
    return (await Deno.readTextFile(`${SERVICE_ACCOUNT}/namespace`)).trim();
  } catch {
    return "default";
  }
}

function statusOf(error: unknown): unknown {
  return (error as { code?: unknown }).code;
}

/**
 * The library's message holds the whole answer on several lines, with headers that differ each time; a log needs one
 * line, and the same one for the same trouble.
 */
function unavailable(error: unknown): UnavailableError {
  const status = statusOf(error);
  if (typeof status !== "number") {
    return new UnavailableError(`the Kubernetes API does not answer: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const { message } = parseBody((error as { body?: unknown }).body);
  const detail = typeof message === "string" ? `: ${message.replaceAll(/\s+/g, " ")}` : "";
  return new UnavailableError(`the Kubernetes API answers ${status}${detail}`);
}

/** The body of an answer is parsed, or still text. */
function parseBody(body: unknown): { message?: unknown } {
  try {
    return (typeof body === "string" ? JSON.parse(body) : body) ?? {};
  } catch {
    return {};
  }
}

/** What went wrong, with what `fetch` hides behind "fetch failed". */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

function toRecord(lease: V1Lease): LeaseRecord {
  const addresses = lease.metadata?.annotations?.[ADDRESSES_ANNOTATION] ?? "";
  return {
    holder: lease.spec?.holderIdentity ?? "",
    addresses: addresses.split(",").filter((address) => address !== ""),
    durationSeconds: lease.spec?.leaseDurationSeconds ?? 0,
    transitions: lease.spec?.leaseTransitions ?? 0,
    version: lease.metadata?.resourceVersion ?? "",
  };
}

function toLease(
  record: NewLeaseRecord,
  meta: { name: string; namespace: string; version: string | undefined },
  now: V1MicroTime,
): V1Lease {
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: {
      name: meta.name,
      namespace: meta.namespace,
      annotations: { [ADDRESSES_ANNOTATION]: record.addresses.join(",") },
      ...(meta.version === undefined ? {} : { resourceVersion: meta.version }),
    },
    spec: {
      holderIdentity: record.holder,
      leaseDurationSeconds: record.durationSeconds,
      leaseTransitions: record.transitions,
      renewTime: now,
    },
  };
}
