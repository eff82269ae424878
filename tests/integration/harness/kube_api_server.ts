/**
 * A real Kubernetes API server with its etcd, from the binaries that `KUBE_APISERVER_BIN` and `ETCD_BIN` name.
 *
 * @module
 */
import { inside, type NetworkNode } from "./network.ts";
import { eventually, ManagedProcess, run } from "./process.ts";

/** Paths of the binaries, if the environment names them. */
const BINARIES = {
  apiServer: Deno.env.get("KUBE_APISERVER_BIN") ?? "",
  etcd: Deno.env.get("ETCD_BIN") ?? "",
};

/** True if both binaries are named. */
export const HAS_KUBE = BINARIES.apiServer !== "" && BINARIES.etcd !== "";

const PORTS = { api: 6443, etcd: 2379, etcdPeers: 2380 };

const ADMIN_TOKEN = "admin-of-the-test-bed";

/** Namespace of the mirrors. */
export const NAMESPACE = "mirrors";

/** Name of their Lease. */
export const LEASE = "kagami-bootstrap";

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

/** Credentials of a service account. */
export interface ServiceAccount {
  /** Environment of a program outside of any pod: a kubeconfig. */
  readonly env: Readonly<Record<string, string>>;
  /** Command that runs what follows as in a pod: the credentials lie where kubelet puts them. */
  readonly podCommand: readonly string[];
  /** Environment of the pod. */
  readonly podEnv: Readonly<Record<string, string>>;
}

/** An API server that runs in a node of the network. */
export class KubeApiServer implements AsyncDisposable {
  readonly #node: NetworkNode;
  readonly #folder: string;
  readonly #etcd: ManagedProcess;
  #server: ManagedProcess;

  private constructor(
    node: NetworkNode,
    folder: string,
    etcd: ManagedProcess,
    server: ManagedProcess,
  ) {
    this.#node = node;
    this.#folder = folder;
    this.#etcd = etcd;
    this.#server = server;
  }

  /** Starts it, and makes the mirrors' namespace. */
  static async start(node: NetworkNode, folder: string): Promise<KubeApiServer> {
    await Deno.mkdir(folder);
    await run("openssl", "genrsa", "-out", `${folder}/accounts.key`, "2048");
    await Deno.writeTextFile(
      `${folder}/tokens.csv`,
      `${ADMIN_TOKEN},admin,admin-uid,"system:masters"\n`,
    );
    const etcdUrl = `http://127.0.0.1:${PORTS.etcd}`;
    const etcd = await ManagedProcess.start(
      "etcd",
      `${folder}/etcd.log`,
      "ip",
      inside(
        node,
        ...[BINARIES.etcd, `--data-dir=${folder}/etcd`],
        ...[`--listen-client-urls=${etcdUrl}`, `--advertise-client-urls=${etcdUrl}`],
        `--listen-peer-urls=http://127.0.0.1:${PORTS.etcdPeers}`,
      ),
    );
    const server = new KubeApiServer(node, folder, etcd, await startServer(node, folder));
    await server.ready();
    await server.create("/api/v1/namespaces", { metadata: { name: NAMESPACE } });
    return server;
  }

  /** Stops the API server; what it knows stays in etcd. */
  async stop(): Promise<void> {
    await this.#server.kill();
  }

  /** Starts it again. */
  async startAgain(): Promise<void> {
    this.#server = await startServer(this.#node, this.#folder);
    await this.ready();
  }

  /** Waits until it answers. */
  async ready(): Promise<void> {
    await eventually(
      "the API server is ready",
      async () => (await this.#request("GET", "/readyz")) === "ok",
      120_000,
    );
  }

  /** Creates an object. */
  async create(path: string, object: unknown): Promise<Record<string, unknown>> {
    const answer = JSON.parse(await this.#request("POST", path, JSON.stringify(object)));
    if (answer.kind === "Status") throw new Error(`POST ${path}: ${answer.message}`);
    return answer;
  }

  /** The mirrors' Lease, if there is one. */
  async lease(): Promise<{ holder: string; addresses: string[]; transitions: number } | undefined> {
    const path = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/${LEASE}`;
    const { kind, metadata, spec } = JSON.parse(await this.#request("GET", path));
    if (kind !== "Lease") return undefined;
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
   */
  async account(name: string, mayElect: boolean): Promise<ServiceAccount> {
    const base = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`;
    await this.create(base, { metadata: { name } });
    if (mayElect) await this.#allow(name);
    const { status } = await this.create(`${base}/${name}/token`, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { expirationSeconds: 3600 },
    }) as { status: { token: string } };
    const credentials = `${this.#folder}/account-${name}`;
    const kubeconfig = `${this.#folder}/kubeconfig-${name}.json`;
    await Deno.mkdir(credentials);
    await Deno.writeTextFile(`${credentials}/token`, status.token);
    await Deno.writeTextFile(`${credentials}/namespace`, NAMESPACE);
    await Deno.copyFile(`${this.#folder}/certs/apiserver.crt`, `${credentials}/ca.crt`);
    await Deno.writeTextFile(
      kubeconfig,
      JSON.stringify(kubeconfigOf(`https://${this.#node.ip}:${PORTS.api}`, credentials)),
    );
    return {
      env: { KUBECONFIG: kubeconfig, KUBERNETES_BOOTSTRAP_NAMESPACE: NAMESPACE },
      podCommand: ["unshare", "--mount", "sh", "-c", POD_SCRIPT, "sh", credentials],
      podEnv: { KUBERNETES_SERVICE_HOST: this.#node.ip, KUBERNETES_SERVICE_PORT: `${PORTS.api}` },
    };
  }

  /** What deploy/charts/kagami/templates/rbac.yaml allows. */
  async #allow(account: string): Promise<void> {
    const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${NAMESPACE}`;
    const leases = { apiGroups: ["coordination.k8s.io"], resources: ["leases"] };
    await this.create(`${rbac}/roles`, {
      metadata: { name: account },
      rules: [
        { ...leases, resourceNames: [LEASE], verbs: ["get", "update"] },
        { ...leases, verbs: ["create"] },
      ],
    });
    await this.create(`${rbac}/rolebindings`, {
      metadata: { name: account },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: account },
      subjects: [{ kind: "ServiceAccount", name: account, namespace: NAMESPACE }],
    });
  }

  async #request(method: string, path: string, body?: string): Promise<string> {
    const curl = ["curl", "-sk", "--max-time", "30", "-X", method];
    const headers = [`Authorization: Bearer ${ADMIN_TOKEN}`, "Content-Type: application/json"];
    return await run(
      "ip",
      ...inside(
        this.#node,
        ...curl,
        ...headers.flatMap((header) => ["-H", header]),
        ...(body === undefined ? [] : ["-d", body]),
        `https://${this.#node.ip}:${PORTS.api}${path}`,
      ),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop();
    await this.#etcd.stop();
  }
}

function kubeconfigOf(server: string, credentials: string): unknown {
  const name = "test-bed";
  const provider = { name: "tokenFile", config: { tokenFile: `${credentials}/token` } };
  return {
    clusters: [{ name, cluster: { server, "certificate-authority": `${credentials}/ca.crt` } }],
    users: [{ name, user: { "auth-provider": provider } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  };
}

function startServer(node: NetworkNode, folder: string): Promise<ManagedProcess> {
  const accounts = `${folder}/accounts.key`;
  return ManagedProcess.start(
    "kube-apiserver",
    `${folder}/apiserver.log`,
    "ip",
    inside(
      node,
      BINARIES.apiServer,
      `--etcd-servers=http://127.0.0.1:${PORTS.etcd}`,
      `--secure-port=${PORTS.api}`,
      `--bind-address=${node.ip}`,
      `--advertise-address=${node.ip}`,
      `--cert-dir=${folder}/certs`,
      `--service-account-key-file=${accounts}`,
      `--service-account-signing-key-file=${accounts}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      "--service-cluster-ip-range=10.96.0.0/24",
      `--token-auth-file=${folder}/tokens.csv`,
      "--authorization-mode=RBAC",
    ),
  );
}
