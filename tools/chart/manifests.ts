/**
 * Plain manifests for those who do not use Helm, rendered from the chart.
 *
 * @module
 */
import { type Document, parseAllDocuments } from "yaml";
import type { Helm } from "../../tests/chart/render.ts";

/** What only Helm needs to know of its objects. */
const LABELS_OF_HELM = ["helm.sh/chart", "app.kubernetes.io/managed-by"];

const NOTE = "Rendered from deploy/charts/kagami by `deno task manifests`; do not edit.";

const NAMESPACE = `apiVersion: v1
kind: Namespace
metadata:
  name: kagami
  labels:
    # For the directories of the node that are mounted; no container is privileged.
    pod-security.kubernetes.io/enforce: privileged
`;

/**
 * Renders the manifests with the chart's default values.
 *
 * @param helm Helm.
 * @returns Texts by path from the root of the repository.
 */
export async function manifestFiles(helm: Helm): Promise<Record<string, string>> {
  const documents = parseAllDocuments(await helm.render()) as Document[];
  const hooks = documents.filter(isHook);
  const objects = documents.filter((document) => !hooks.includes(document));
  return {
    "deploy/manifests/kagami.yaml": join(
      ["Kagami on every node, for Kubernetes 1.34 and later.", "  kubectl apply -f kagami.yaml"],
      objects,
    ),
    "deploy/manifests/cleanup.yaml": join(
      [
        "After Kagami was deleted: puts containerd's configuration back on all nodes.",
        "  kubectl delete -f kagami.yaml",
        "  kubectl apply -f cleanup.yaml",
        "  kubectl -n kagami wait --for=condition=Complete --timeout=10m job/kagami-cleanup-wait",
        "  kubectl delete -f cleanup.yaml",
      ],
      hooks,
    ),
  };
}

function isHook(document: Document): boolean {
  return document.hasIn(["metadata", "annotations", "helm.sh/hook"]);
}

function plain(document: Document): string {
  for (const label of LABELS_OF_HELM) document.deleteIn(["metadata", "labels", label]);
  if (isHook(document)) document.deleteIn(["metadata", "annotations"]);
  return document.toString({ lineWidth: 0 })
    .replace(/^---\n/, "")
    .replace(/^# Source: .*\n/, "");
}

function join(head: readonly string[], documents: readonly Document[]): string {
  const comment = [NOTE, ...head].map((line) => `# ${line}\n`).join("");
  return [comment, NAMESPACE, ...documents.map(plain)].join("---\n");
}
