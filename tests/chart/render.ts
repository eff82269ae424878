/**
 * Helm on the chart of this repository.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { run } from "../integration/harness/process.ts";
import type { KubernetesObject } from "./schemas.ts";

/** Folder of the chart. */
export const CHART = fileURLToPath(new URL("../../deploy/charts/kagami", import.meta.url));

/** Names that the tests and the plain manifests use. */
export const RELEASE = "kagami";

/** Values as a user would give them. */
export type Values = Readonly<Record<string, unknown>>;

/** How to render. */
export interface RenderOptions {
  /** Version of Kubernetes, which decides what is made; default: the newest that was known. */
  readonly kubeVersion?: string;
  readonly namespace?: string;
}

/** Renders and checks by one Helm. */
export class Helm {
  readonly #path: string;

  /**
   * @param path Path of the program.
   */
  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Renders the chart, hooks included.
   *
   * @param values What differs from values.yaml.
   * @param options Release and Kubernetes.
   * @returns YAML.
   * @throws {Error} With Helm's words, if values are refused.
   */
  async render(values: Values = {}, options: RenderOptions = {}): Promise<string> {
    const { kubeVersion = "1.37.0", namespace = RELEASE } = options;
    return await this.#withValues(
      values,
      (file) =>
        run(
          this.#path,
          "template",
          RELEASE,
          CHART,
          `--values=${file}`,
          `--namespace=${namespace}`,
          `--kube-version=${kubeVersion}`,
        ),
    );
  }

  /**
   * Renders the chart.
   *
   * @param values What differs from values.yaml.
   * @param options Release and Kubernetes.
   * @returns The objects.
   */
  async objects(values: Values = {}, options: RenderOptions = {}): Promise<KubernetesObject[]> {
    return parseAllDocuments(await this.render(values, options))
      .map((document) => document.toJS())
      .filter((object) => object !== null);
  }

  /**
   * Lints the chart.
   *
   * @param values What differs from values.yaml.
   * @throws {Error} With Helm's words, if something is wrong.
   */
  async lint(values: Values = {}): Promise<void> {
    await this.#withValues(
      values,
      (file) => run(this.#path, "lint", "--strict", CHART, `--values=${file}`),
    );
  }

  async #withValues<T>(values: Values, use: (file: string) => Promise<T>): Promise<T> {
    const file = await Deno.makeTempFile({ suffix: ".json" });
    try {
      await Deno.writeTextFile(file, JSON.stringify(values));
      return await use(file);
    } finally {
      await Deno.remove(file);
    }
  }
}
