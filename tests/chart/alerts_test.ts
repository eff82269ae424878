import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { run, runCommand } from "../integration/harness/process.ts";
import { findPromtool } from "./tools.ts";

const promtool = await findPromtool();
const ALERTS = fileURLToPath(new URL("../../deploy/alerts", import.meta.url));
const REQUIRES_PROMTOOL = { ignore: "missing" in promtool };

if ("missing" in promtool) {
  const text = `tests of alerts are skipped: ${promtool.missing}\n`;
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}

function thePromtool(): string {
  if ("missing" in promtool) throw new Error(promtool.missing);
  return promtool.value;
}

Deno.test({
  ...REQUIRES_PROMTOOL,
  name: "alerts fire when they should, and only then",
  async fn() {
    const file = `${ALERTS}/kagami.test.yaml`;
    const { code, stdout, stderr } = await runCommand(thePromtool(), ["test", "rules", file]);
    assert.equal(code, 0, stdout + stderr);
  },
});

Deno.test({
  ...REQUIRES_PROMTOOL,
  name: "every query of the dashboard is PromQL",
  async fn() {
    const path = new URL(
      "../../deploy/charts/kagami/monitoring/dashboard.json",
      import.meta.url,
    );
    const { panels } = JSON.parse(await Deno.readTextFile(path));
    const rules = panels.flatMap((panel: { targets: { expr: string }[] }) =>
      panel.targets.map(({ expr }) => ({
        record: "query",
        // Grafana's variables, as Grafana would fill them in.
        expr: expr.replaceAll("$__rate_interval", "5m").replaceAll(/\$(job|instance)/g, ".+"),
      }))
    );
    assert.ok(rules.length > 10);
    const file = await Deno.makeTempFile({ suffix: ".yaml" });
    try {
      // One group a query: a recording rule must not be there twice in one.
      const groups = rules.map((rule: unknown, index: number) => ({
        name: `query-${index}`,
        rules: [rule],
      }));
      await Deno.writeTextFile(file, JSON.stringify({ groups }));
      await run(thePromtool(), "check", "rules", "--lint=none", file);
    } finally {
      await Deno.remove(file);
    }
  },
});

Deno.test("every alert has a test that sees it fire, and one that sees it quiet", async () => {
  const { groups } = parse(await Deno.readTextFile(`${ALERTS}/kagami.yaml`));
  const { tests } = parse(await Deno.readTextFile(`${ALERTS}/kagami.test.yaml`));
  type Expectation = { readonly alertname: string; readonly exp_alerts?: readonly unknown[] };
  const expectations: Expectation[] = tests
    .flatMap((test: { alert_rule_test: Expectation[] }) => test.alert_rule_test);
  for (const { alert } of groups.flatMap((group: { rules: { alert: string }[] }) => group.rules)) {
    const own = expectations.filter(({ alertname }) => alertname === alert);
    const fires = own.filter(({ exp_alerts = [] }) => exp_alerts.length > 0);
    assert.ok(fires.length > 0, `${alert} fires in a test`);
    assert.ok(own.length > fires.length, `${alert} is quiet in a test`);
  }
});
