import assert from "node:assert/strict";
import { parse } from "yaml";
import { METRIC_DEFINITIONS } from "../../../lib/observability/metrics.ts";

const monitoring = new URL("../../../deploy/charts/kagami/monitoring/", import.meta.url);

interface Rule {
  readonly alert: string;
  readonly expr: string;
}

async function dashboardQueries(): Promise<string[]> {
  const { panels } = JSON.parse(await Deno.readTextFile(new URL("dashboard.json", monitoring)));
  return panels.flatMap(({ targets }: { targets: { expr: string }[] }) =>
    targets.map(({ expr }) => expr)
  );
}

async function alertQueries(): Promise<string[]> {
  const { groups } = parse(await Deno.readTextFile(new URL("alerts.yaml", monitoring)));
  return groups.flatMap(({ rules }: { rules: Rule[] }) => rules.map(({ expr }) => expr));
}

/** Labels that Prometheus gives each target, and the one of a histogram's buckets. */
const FOREIGN_LABELS = ["job", "instance", "le"];

interface Selector {
  readonly metric: string;
  /** Whether a series of a histogram was asked for. */
  readonly suffixed: boolean;
  readonly labels: readonly string[];
}

/** Metrics of a query with the labels that it selects by. */
function* selectors(query: string): Generator<Selector> {
  const pattern = /\b((?:spegel|kagami|http)_[a-z_]+)(?:\{([^}]*)\})?/g;
  for (const [, name = "", selector = ""] of query.matchAll(pattern)) {
    const labels = Array.from(selector.matchAll(/([a-z_]+)\s*=/g), ([, label = ""]) => label);
    const metric = name.replace(/_(?:bucket|count|sum)$/, "");
    yield { metric, suffixed: metric !== name, labels };
  }
}

const byName = new Map(METRIC_DEFINITIONS.map((definition) => [definition.name, definition]));

for (
  const [what, queries] of [["dashboard", dashboardQueries], ["alerts", alertQueries]] as const
) {
  Deno.test(`the ${what} ask only for metrics and labels that there are`, async () => {
    for (const query of await queries()) {
      const found = [...selectors(query)];
      assert(found.length > 0, query);
      for (const { metric, suffixed, labels } of found) {
        const definition = byName.get(metric);
        assert(definition !== undefined, `${metric} in ${query}`);
        assert.equal(suffixed, definition.type === "histogram", query);
        const unknown = labels.filter((label) =>
          !definition.labels.includes(label) && !FOREIGN_LABELS.includes(label)
        );
        assert.deepEqual(unknown, [], query);
      }
    }
  });
}

Deno.test("the dashboard shows every metric that there is", async () => {
  const shown = new Set(
    (await dashboardQueries()).flatMap((query) =>
      Array.from(selectors(query), ({ metric }) => metric)
    ),
  );
  assert.deepEqual([...byName.keys()].filter((name) => !shown.has(name)), []);
});
