/**
 * What to do about warnings and errors of the log. One test holds this list to be complete.
 *
 * @module
 */

const CONTAINERD = "start containerd; in a pod restart the pod if containerd was restarted before";
const PEER =
  "run kagami doctor on the peer's node, and look at its log; other peers go on meanwhile";
const WRONG =
  "find out which node's disk is damaged: run kagami doctor there, and remove the content";
const DISK = "look for damage of the disk; remove the content with its image, and pull it again";

/** By message. Those that are left out carry a remedy of their own in the log. */
export const REMEDIES: Readonly<Record<string, string>> = {
  "peer failed to deliver": PEER,
  "peer failed in the middle of a content": PEER,
  "peer delivered wrong bytes": WRONG,
  "peers delivered wrong bytes, leaving the content to upstream": WRONG,
  "stored content does not match its digest and is not served": DISK,
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
  "the bootstrapper failed": "check BOOTSTRAP_KIND and its options, and restart the mirror",
  "cannot take part in the election of the bootstrap leader":
    "let the mirror's service account get, create and update Leases in its namespace",
  "metrics cannot be served": "report it with the line of the log: it is a fault of the mirror",
};
