/**
 * What the mirrors of a cluster have at a Kubernetes API server: a namespace, service accounts and a Lease.
 *
 * @module
 */
import type { KubeApiServer } from "./kube_api_server.ts";

/** Name of the mirrors' Lease. */
export const LEASE = "kagami-bootstrap";

const NAMESPACE = "mirrors";

/** Where a pod finds its credentials. */
const SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * Makes the credentials of a pod in a mount namespace of its own, and starts what follows. `/var/run` is `/run`, and the
 * machine's own stays as it is.
 */
const POD_SCRIPT = `
set -e
credentials=$1
shift
mount -t tmpfs tmpfs /run
mkdir -p ${SERVICE_ACCOUNT_FOLDER}
cp "$credentials"/* ${SERVICE_ACCOUNT_FOLDER}
exec "$@"
`;

/** How a program runs as in a pod. */
export interface Pod {
  /** Command that runs what follows with the credentials where kubelet puts them. */
  readonly command: readonly string[];
  /** What kubelet tells it. */
  readonly env: Readonly<Record<string, string>>;
}

/** The mirrors' part of an API server. */
export class MirrorAccounts {
  readonly #server: KubeApiServer;
  readonly #folder: string;

  private constructor(server: KubeApiServer, folder: string) {
    this.#server = server;
    this.#folder = folder;
  }

  /**
   * Makes the mirrors' namespace.
   *
   * @param server The server.
   * @param folder For credentials; is made.
   */
  static async create(server: KubeApiServer, folder: string): Promise<MirrorAccounts> {
    await Deno.mkdir(folder);
    await server.create("/api/v1/namespaces", { metadata: { name: NAMESPACE } });
    return new MirrorAccounts(server, folder);
  }

  /** The Lease, if there is one. */
  async lease(): Promise<{ holder: string; addresses: string[]; transitions: number } | undefined> {
    const path = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/${LEASE}`;
    const { status, text } = await this.#server.request("GET", path);
    if (status !== 200) return undefined;
    const { metadata, spec } = JSON.parse(text);
    return {
      holder: spec.holderIdentity ?? "",
      addresses: metadata.annotations["kagami.dev/addresses"].split(","),
      transitions: spec.leaseTransitions,
    };
  }

  /**
   * Makes a service account.
   *
   * @param name Its name.
   * @param mayElect Whether it has the role that the Helm chart gives to the mirrors.
   * @returns A pod of this account.
   */
  async account(name: string, mayElect: boolean): Promise<Pod> {
    const base = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`;
    await this.#server.create(base, { metadata: { name } });
    if (mayElect) await this.#allow(name);
    const { status } = await this.#server.create(`${base}/${name}/token`, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { expirationSeconds: 3600 },
    }) as { status: { token: string } };
    const credentials = `${this.#folder}/${name}`;
    await Deno.mkdir(credentials);
    await Deno.writeTextFile(`${credentials}/token`, status.token);
    await Deno.writeTextFile(`${credentials}/namespace`, NAMESPACE);
    await Deno.copyFile(this.#server.certificate, `${credentials}/ca.crt`);
    const { host, port } = this.#server;
    return {
      command: ["unshare", "--mount", "sh", "-c", POD_SCRIPT, "sh", credentials],
      env: { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: `${port}` },
    };
  }

  /** What deploy/charts/kagami/templates/rbac.yaml allows. */
  async #allow(account: string): Promise<void> {
    const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${NAMESPACE}`;
    const leases = { apiGroups: ["coordination.k8s.io"], resources: ["leases"] };
    await this.#server.create(`${rbac}/roles`, {
      metadata: { name: account },
      rules: [
        { ...leases, resourceNames: [LEASE], verbs: ["get", "update"] },
        { ...leases, verbs: ["create"] },
      ],
    });
    await this.#server.create(`${rbac}/rolebindings`, {
      metadata: { name: account },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: account },
      subjects: [{ kind: "ServiceAccount", name: account, namespace: NAMESPACE }],
    });
  }
}
