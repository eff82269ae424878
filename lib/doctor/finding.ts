/**
 * What `kagami doctor` can find: the one list that the checks, docs/troubleshooting.md and the tests share.
 *
 * @module
 */

/** How bad it is: nothing to do, worth a look, or broken. */
export type Level = "ok" | "warning" | "failure";

/** One result of a check. */
export interface Finding {
  /** Name of the check. */
  readonly check: string;
  readonly level: Level;
  /** Name of what was found; undefined if all is well. */
  readonly code?: FindingCode;
  /** One line. */
  readonly what: string;
  /** What to do about it. */
  readonly remedy?: string;
}

/** Something that is not as it should be. */
interface FindingDefinition {
  readonly level: "warning" | "failure";
  /** What it means for pulls. */
  readonly meaning: string;
  readonly remedy: string;
}

const PULLS_GO_UPSTREAM = "containerd pulls from the upstream registry alone.";

/** All findings, by code. */
export const FINDINGS = {
  "registry-silent": {
    level: "failure",
    meaning: `The mirror does not answer on its registry port. ${PULLS_GO_UPSTREAM}`,
    remedy: "start the mirror, look at its log, or give its address with --registry-addr",
  },
  "registry-not-ready": {
    level: "failure",
    meaning: "The mirror runs, but says at /readyz that it cannot serve, and why.",
    remedy: "do what the reason says; the findings on containerd and on peers tell more",
  },
  "metrics-silent": {
    level: "failure",
    meaning: "Nothing answers on the metrics port: no metrics, and the doctor cannot see peers.",
    remedy: "start the mirror, or give its address with --metrics-addr",
  },
  "debug-disabled": {
    level: "warning",
    meaning: "The mirror does not tell its state, so peers are not checked.",
    remedy: "set DEBUG_WEB_ENABLED to true",
  },
  "settings-differ": {
    level: "warning",
    meaning: "The doctor was told of other settings than the running mirror has.",
    remedy: "give the doctor the mirror's flags, or the mirror those of the doctor",
  },
  "containerd-no-socket": {
    level: "failure",
    meaning: "There is no socket of containerd at the path: nothing can be served or announced.",
    remedy: "start containerd; give the path of its socket with CONTAINERD_SOCK, and mount it",
  },
  "containerd-denied": {
    level: "failure",
    meaning: "containerd's socket may not be opened: nothing can be served or announced.",
    remedy: "run in the group that owns the socket, or as root",
  },
  "containerd-silent": {
    level: "failure",
    meaning: "containerd's socket is there, and nobody answers on it.",
    remedy: "start containerd; in a pod restart the pod if containerd was restarted before",
  },
  "config-path-unset": {
    level: "failure",
    meaning: `containerd has no config_path. ${PULLS_GO_UPSTREAM}`,
    remedy: "set config_path in containerd's CRI registry settings, and restart containerd",
  },
  "config-path-elsewhere": {
    level: "failure",
    meaning: `containerd looks for mirrors in another folder. ${PULLS_GO_UPSTREAM}`,
    remedy: "give CONTAINERD_REGISTRY_CONFIG_PATH the folder that containerd has as config_path",
  },
  "config-path-list": {
    level: "failure",
    meaning: "containerd 2 takes a list of folders for the name of one, and finds no mirror.",
    remedy: "set config_path to the one folder of the mirror, or use_local_image_pull = true",
  },
  "config-path-untold": {
    level: "warning",
    meaning: "containerd does not tell its config_path, and has not asked this mirror since its " +
      "start.",
    remedy: "look for config_path in `containerd config dump`, or pull an image and look again",
  },
  "layers-discarded": {
    level: "failure",
    meaning: "containerd throws layers away once they are unpacked: this node has none to share.",
    remedy: "set discard_unpacked_layers = false in containerd's CRI settings, and restart it",
  },
  "layers-missing": {
    level: "warning",
    meaning: "Images of this node have no layers, which containerd discarded when it pulled them.",
    remedy: "set discard_unpacked_layers = false; images from before stay without layers",
  },
  "content-path-missing": {
    level: "warning",
    meaning: "containerd's content directory is not there: content is read through the socket, " +
      "at a tenth of the speed.",
    remedy: "mount containerd's content directory, and name it with CONTAINERD_CONTENT_PATH",
  },
  "content-path-denied": {
    level: "failure",
    meaning: "containerd's content may not be read: nothing can be served.",
    remedy: "run as root, or as a user who may read containerd's content directory",
  },
  "content-path-elsewhere": {
    level: "warning",
    meaning: "The content path is not that of this containerd: content is read through the " +
      "socket, at a tenth of the speed.",
    remedy: "give CONTAINERD_CONTENT_PATH the content directory of the containerd that is used",
  },
  "layout-unreadable": {
    level: "failure",
    meaning: "The OCI layout that the mirror is to serve cannot be read.",
    remedy: "give OCI_LAYOUT_PATH a folder with index.json, oci-layout and blobs",
  },
  "certs-dir-missing": {
    level: "failure",
    meaning: `There is no folder for the mirror configuration. ${PULLS_GO_UPSTREAM}`,
    remedy: "run kagami configuration, or give the folder with CONTAINERD_REGISTRY_CONFIG_PATH",
  },
  "certs-dir-not-visible": {
    level: "warning",
    meaning: "The folder of the mirror configuration is not mounted in this pod, so it is not " +
      "checked.",
    remedy: "run the doctor on the node, or in a pod that has the folder mounted",
  },
  "certs-dir-denied": {
    level: "failure",
    meaning: "The folder of the mirror configuration is no folder, or may not be read.",
    remedy: "make it a folder that root and the doctor may read",
  },
  "certs-dir-read-only": {
    level: "warning",
    meaning: "The mirror configuration can be read and not be written from here.",
    remedy: "nothing, unless kagami configuration runs here: let it write to the folder",
  },
  "hosts-missing": {
    level: "failure",
    meaning: "There is no hosts.toml for a mirrored registry. Its images come from upstream alone.",
    remedy: "run kagami configuration with the registry among --mirrored-registries",
  },
  "hosts-invalid": {
    level: "failure",
    meaning: "A hosts.toml is not TOML or cannot be read: pulls from the registry fail.",
    remedy: "run kagami configuration, which writes it anew",
  },
  "hosts-elsewhere": {
    level: "failure",
    meaning: "No mirror in a hosts.toml is the one of this node.",
    remedy: "run kagami configuration with --mirror-targets that lead to this node's mirror",
  },
  "hosts-unproven": {
    level: "warning",
    meaning: "The mirror is down, so that it cannot be told whether hosts.toml points to it.",
    remedy: "start the mirror, and look again",
  },
  "hosts-overridden": {
    level: "warning",
    meaning: "A registry has a folder of its own, by which containerd does not ask the mirror.",
    remedy: "run kagami configuration, with --prepend-existing to keep what is there",
  },
  "hosts-target-silent": {
    level: "warning",
    meaning: "One of several mirrors in a hosts.toml does not answer: each pull tries it in vain.",
    remedy: "remove the target from --mirror-targets, or find out why it does not answer",
  },
  "hosts-unauthorized": {
    level: "failure",
    meaning: "The mirror refuses the credentials in hosts.toml.",
    remedy: "run kagami configuration with the same BASIC_AUTH_DIR as the mirror",
  },
  "identity-none": {
    level: "warning",
    meaning: "The mirror has a new identity at every start, and is an unknown node each time.",
    remedy: "set DATA_DIR to a folder that outlives the mirror",
  },
  "identity-missing": {
    level: "warning",
    meaning: "No identity is kept in the data folder.",
    remedy: "let the mirror write to DATA_DIR, and start it",
  },
  "identity-denied": {
    level: "warning",
    meaning: "The identity cannot be read, so that a new one is used at every start.",
    remedy: "run kagami prepare as the owner of the file, or let the mirror's user read it",
  },
  "identity-invalid": {
    level: "failure",
    meaning: "The identity is no ed25519 key: the mirror does not start.",
    remedy: "remove the file; the mirror makes a new one",
  },
  "identity-unused": {
    level: "warning",
    meaning: "The running mirror has another identity than the one that is kept.",
    remedy: "restart the mirror, and give the doctor the DATA_DIR of the mirror",
  },
  "peers-none": {
    level: "failure",
    meaning: `The mirror has not found any other node. ${PULLS_GO_UPSTREAM}`,
    remedy: "check BOOTSTRAP_KIND and its options, and that nodes reach each other's router port",
  },
  "peers-alone": {
    level: "warning",
    meaning: "This is the only node, as far as it was told: nobody can deliver anything.",
    remedy: "nothing, if it is the only one; else check BOOTSTRAP_KIND and its options",
  },
  "peers-silent": {
    level: "failure",
    meaning: "None of the peers answers on its registry port.",
    remedy: "check the network and its policies for the registry port between nodes",
  },
  "peer-silent": {
    level: "warning",
    meaning: "A peer does not answer on its registry port; content comes from others.",
    remedy: "look at the mirror of that node, and at what may block its registry port",
  },
  "peer-lost": {
    level: "warning",
    meaning: "A peer was lost a short while ago and has not come back.",
    remedy: "look at that node, unless it was taken away on purpose",
  },
  "secret-unusable": {
    level: "failure",
    meaning: "The secret of the cluster is missing, cannot be read or is too short: the mirror " +
      "does not start.",
    remedy: "mount the secret where CLUSTER_SECRET_PATH says, readable for the mirror; make one " +
      "with `openssl rand -base64 32`",
  },
  "containerd-refused": {
    level: "warning",
    meaning: "A containerd was refused, since TLS is required and its address is not known as " +
      "this node's. If it is this node's, it pulls from the upstream registry alone.",
    remedy: "give the address with LOCAL_CLIENTS, if it is this node's",
  },
  "transfer-plain-only": {
    level: "warning",
    meaning: "Content travels between nodes in plain text, and to whoever asks.",
    remedy: "set PEER_TLS to preferred or required",
  },
  "transfer-plain": {
    level: "warning",
    meaning: "Content travels to and from some peers in plain text, since they speak no TLS.",
    remedy: "bring them to this version of Kagami; a Spegel cannot do otherwise",
  },
  "transfer-impossible": {
    level: "warning",
    meaning: "Nothing travels to and from some peers, since they speak no TLS and it is required.",
    remedy: "bring them to this version of Kagami, or set PEER_TLS to preferred",
  },
  "transfer-untold": {
    level: "warning",
    meaning: "Some peers do not tell how they transfer, so nothing is fetched from them.",
    remedy: "look at the mirrors of those nodes, and at what may block their router port",
  },
  "blob-not-delivered": {
    level: "failure",
    meaning: "A peer that announces a content does not deliver it.",
    remedy: "run the doctor on that peer's node, and look at its log",
  },
  "blob-differs": {
    level: "failure",
    meaning: "A peer delivers other bytes than this node has for the same digest.",
    remedy:
      "find out which of the two disks is damaged; remove the images that it belongs to there",
  },
  "check-unfinished": {
    level: "warning",
    meaning: "A check took too long or failed by itself.",
    remedy: "look again; if it stays, something that it asks hangs",
  },
} as const satisfies Readonly<Record<string, FindingDefinition>>;

/** Name of a finding. */
export type FindingCode = keyof typeof FINDINGS;

/** Makes the findings of one check. */
export interface Reporter {
  /** All is well. */
  ok(what: string): Finding;
  /** Something is not. */
  found(code: FindingCode, what: string): Finding;
}

/**
 * @param check Name of a check.
 * @returns What makes its findings.
 */
export function reporter(check: string): Reporter {
  return {
    ok: (what) => ({ check, level: "ok", what }),
    found(code, what) {
      const { level, remedy } = FINDINGS[code];
      return { check, level, code, what, remedy };
    },
  };
}
