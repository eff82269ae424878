/**
 * Runs everything: set-up, checks, and the tests of units, conformance, odd input, chart, web page, integration,
 * interoperation and chaos. `deno task test` and `.ci/run` call it.
 *
 * Ends with a line `N passed, N failed[, N skipped]`, and with a code other than 0 if anything failed.
 *
 * @module
 */

import { type Counts, readReport } from "./junit.ts";

/** What the tests of the web page need, by Debian's names. */
const BROWSER_PACKAGES = ["chromium"];

/** What the tests with real containerds need. */
const TEST_BED_PACKAGES = [
  "containerd",
  "runc",
  "skopeo",
  "docker-registry",
  "dnsmasq-base",
  "iproute2",
  "libfaketime",
  "curl",
  "wrk",
];

/** Unit tests that use libraries which keep connections and timers of their own. */
const WITH_LEAKS = "tests/unit/routing";

/** Parts that can be run alone: `tests/run.ts unit`. */
const PARTS = [
  "check",
  "unit",
  "conformance",
  "fuzz",
  "chart",
  "browser",
  "integration",
  "interop",
  "chaos",
] as const;

const counts: Counts = { passed: 0, failed: 0, skipped: 0 };

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

async function succeeds(command: string, args: string[]): Promise<boolean> {
  const { code } = await new Deno.Command(command, { args, stdin: "null" }).spawn().status;
  return code === 0;
}

async function isInstalled(name: string): Promise<boolean> {
  const { success, stdout } = await new Deno.Command("dpkg-query", {
    args: ["-W", "-f=${Status}", name],
    stderr: "null",
  }).output();
  return success && new TextDecoder().decode(stdout).endsWith("ok installed");
}

/** Installs Debian's packages where that is possible. Tests that lack something say so and are skipped. */
async function installPackages(names: readonly string[]): Promise<void> {
  try {
    const missing: string[] = [];
    for (const name of names) if (!await isInstalled(name)) missing.push(name);
    if (missing.length === 0) return;
    if (Deno.uid() !== 0) return say(`not root: ${missing.join(", ")} not installed`);
    say(`installing ${missing.join(", ")}`);
    Deno.env.set("DEBIAN_FRONTEND", "noninteractive");
    await succeeds("apt-get", ["-qq", "update"]);
    await succeeds("apt-get", ["-qq", "install", "-y", "--no-install-recommends", ...missing]);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    say("no Debian: packages not installed");
  }
}

async function check(name: string, args: string[]): Promise<void> {
  say(`\n== ${name}`);
  if (await succeeds(Deno.execPath(), args)) counts.passed += 1;
  else counts.failed += 1;
}

/** Runs tests and counts them by the report, which also holds those of files that failed to load. */
async function test(folder: string, args: string[]): Promise<void> {
  say(`\n== ${folder}`);
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const succeeded = await succeeds(Deno.execPath(), [
      "test",
      "-A",
      "--no-check",
      `--junit-path=${report}`,
      ...args,
      folder,
    ]);
    const { passed, failed, skipped } = readReport(await Deno.readTextFile(report));
    counts.passed += passed;
    // A failure outside of any test (a file that does not load, an uncaught error) counts, too.
    counts.failed += succeeded ? failed : Math.max(1, failed);
    counts.skipped += skipped;
  } finally {
    await Deno.remove(report);
  }
}

const wanted = Deno.args.length === 0 ? PARTS : PARTS.filter((part) => Deno.args.includes(part));

const needsTestBed = wanted.some((part) => ["integration", "interop", "chaos"].includes(part));
await installPackages([
  ...(wanted.includes("browser") ? BROWSER_PACKAGES : []),
  ...(needsTestBed ? TEST_BED_PACKAGES : []),
]);
if (wanted.includes("check")) {
  await check("format", ["fmt", "--check"]);
  await check("lint", ["lint"]);
  await check("types", ["check", "main.ts", "lib", "tests", "tools", "bench"]);
  await check("documentation in step with the code", [
    "run",
    "-A",
    "tools/generate_docs.ts",
    "--check",
  ]);
}
if (wanted.includes("unit")) {
  // A leak fails a test, except where libp2p and fetch() keep connections and timers of their own.
  const leaks = ["--sanitize-ops", "--sanitize-resources", `--ignore=${WITH_LEAKS}`];
  await test("tests/unit", ["--parallel", ...leaks]);
  await test(WITH_LEAKS, ["--parallel"]);
}
if (wanted.includes("conformance")) await test("tests/conformance", []);
if (wanted.includes("fuzz")) await test("tests/fuzz", []);
if (wanted.includes("chart")) await test("tests/chart", []);
if (wanted.includes("browser")) await test("tests/browser", []);
if (wanted.includes("integration")) await test("tests/integration", []);
if (wanted.includes("interop")) await test("tests/interop", []);
if (wanted.includes("chaos")) {
  await test("tests/soak", []);
  await test("tests/chaos", []);
}

const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
say(`\n${counts.passed} passed, ${counts.failed} failed${skipped}`);
Deno.exit(counts.failed > 0 ? 1 : 0);
