/**
 * What metrics a page in Prometheus' text format has.
 *
 * @module
 */

/** A metric: its type, and the labels of all its samples. */
export interface MetricFamily {
  readonly type: string;
  /** Sorted. */
  readonly labels: readonly string[];
}

/** Reads a page of metrics, by name; the suffixes and the label of histograms are left out. */
export function metricFamilies(page: string): Map<string, MetricFamily> {
  const families = new Map<string, MetricFamily>();
  for (const [, name = "", type = ""] of page.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    const suffix = type === "histogram" ? "_(?:bucket|sum|count)" : "";
    const labels = new Set<string>();
    for (const [, text = ""] of page.matchAll(new RegExp(`^${name}${suffix}\\{(.*)\\} `, "gm"))) {
      for (const [, label = ""] of text.matchAll(/([a-z_]+)="/g)) labels.add(label);
    }
    if (type === "histogram") labels.delete("le");
    families.set(name, { type, labels: [...labels].sort() });
  }
  return families;
}
