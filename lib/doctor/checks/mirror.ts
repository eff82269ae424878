/**
 * Is the mirror there, and does it say that it is ready?
 *
 * @module
 */
import type { Check } from "../check.ts";
import { reporter } from "../finding.ts";
import type { HttpAnswer } from "../http_asker.ts";

const decoder = new TextDecoder();

const registry = reporter("registry");

/** The registry port. */
export const registryCheck: Check = {
  name: "registry",
  run({ readiness, node }) {
    if (readiness instanceof Error) {
      return Promise.resolve([registry.found("registry-silent", readiness.message)]);
    }
    const lines = linesOf(readiness);
    if (readiness.status !== 200) {
      const reasons = lines.filter((line) => !line.includes(": ready:"));
      const what = `${node.registryUrl} says it is not ready: ${reasons.join("; ")}`;
      return Promise.resolve([registry.found("registry-not-ready", what)]);
    }
    return Promise.resolve([registry.ok(`${node.registryUrl} is ready: ${lines.join("; ")}`)]);
  },
};

function linesOf({ bytes }: HttpAnswer): string[] {
  return decoder.decode(bytes).trim().split("\n");
}

const metrics = reporter("metrics");

/** The metrics port. */
export const metricsCheck: Check = {
  name: "metrics",
  async run({ ask, node, mirror }, signal) {
    try {
      const { status } = await ask(`${node.metricsUrl}/metrics`, { method: "HEAD", signal });
      if (status !== 200) {
        return [metrics.found("metrics-silent", `${node.metricsUrl}/metrics answers ${status}`)];
      }
    } catch (error) {
      return [metrics.found("metrics-silent", (error as Error).message)];
    }
    if (mirror.kind === "silent") return [metrics.found("metrics-silent", mirror.reason)];
    if (mirror.kind === "untold") {
      return [metrics.found("debug-disabled", `${node.metricsUrl} serves metrics alone`)];
    }
    return [metrics.ok(`${node.metricsUrl} answers, Kagami ${mirror.status.version}`)];
  },
};

const settings = reporter("settings");

/** Whether the doctor looks where the mirror does. */
export const settingsCheck: Check = {
  name: "settings",
  run({ differences, mirror }) {
    if (mirror.kind !== "told") return Promise.resolve([]);
    if (differences.length === 0) {
      return Promise.resolve([settings.ok("the same as those of the running mirror")]);
    }
    return Promise.resolve([settings.found("settings-differ", differences.join("; "))]);
  },
};
