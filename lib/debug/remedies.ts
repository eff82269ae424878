/**
 * What to do about warnings and errors of the log. One test holds this list to be complete.
 *
 * @module
 */

const CONTAINERD = "start containerd; in a pod restart the pod if containerd was restarted before";
const BOOTSTRAP =
  "nothing, if peers have been found since; else check BOOTSTRAP_KIND, its options, and the router port";
const PEER =
  "run kagami doctor on the peer's node, and look at its log; other peers go on meanwhile";
const WRONG =
  "find out which node's disk is damaged: run kagami doctor there, and remove the images of the content";

/** By message. Those that are left out carry a remedy of their own in the log. */
export const REMEDIES: Readonly<Record<string, string>> = {
  "peer failed to deliver": PEER,
  "peer failed in the middle of a content": PEER,
  "peer delivered wrong bytes": WRONG,
  "peers delivered wrong bytes, leaving the content to upstream": WRONG,
  "answer was broken off":
    "nothing, if it stays rare: containerd goes on with another try, or upstream",
  "request failed": "report it with the line of the log: it is a fault of the mirror",
  "local store failed, asking peers": CONTAINERD,
  "containerd does not answer, trying again every second": CONTAINERD,
  "watching the store failed, starting anew": CONTAINERD,
  "cannot bring the advertised state in line with the store, trying again": CONTAINERD,
  "cannot read the identity, using one for this run only":
    "run kagami prepare as the owner of the file, or let the mirror's user read it",
  "cannot keep the identity, using one for this run only":
    "let the mirror write to DATA_DIR, and restart it",
  "bootstrap failed, trying again": BOOTSTRAP,
  "no bootstrap peer can be reached, trying again": BOOTSTRAP,
  "the bootstrapper failed": "check BOOTSTRAP_KIND and its options, and restart the mirror",
  "cannot take part in the election of the bootstrap leader":
    "let the mirror's service account get, create and update Leases in its namespace",
  "an upstream registry cannot be asked for access":
    "let the mirror reach the registry; until then its private images come from upstream alone",
  "upstream cannot be asked what a tag stands for":
    "let the mirror reach the registry, or switch SHARE_TAG_RESOLUTION off; nodes ask themselves meanwhile",
  "a certificate of an upstream registry cannot be read":
    "let the mirror's user read the file, or take it out of the folder of certificates",
  "refused a request that is not of this node":
    "if the client is this node's containerd, give its address with LOCAL_CLIENTS",
  "metrics cannot be served": "report it with the line of the log: it is a fault of the mirror",
};
