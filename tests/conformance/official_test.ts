/**
 * The official conformance tests of the distribution specification. `OCI_CONFORMANCE_BIN` names their program, where the
 * machine has it: `conformance.test` of version 1.1, as `go test -c` makes it.
 *
 * @see https://github.com/opencontainers/distribution-spec/tree/v1.1.1/conformance
 * @module
 */
import assert from "node:assert/strict";
import { readReport } from "../junit.ts";
import { IMAGE, REPOSITORY, TAGS } from "./support/content.ts";
import { createLayout } from "./support/layouts.ts";
import { startConformanceNode } from "./support/node.ts";

const PROGRAM = Deno.env.get("OCI_CONFORMANCE_BIN") ?? "";

const [MANIFEST, BLOB] = [IMAGE.manifest.digest, IMAGE.blobs[1]!.digest];
const TAG_NAMES = Object.keys(TAGS);

/** How the program is called. Its tests of referrers know only what they have pushed themselves. */
function command(port: number, results: string): Deno.CommandOptions {
  return {
    args: ["-ginkgo.skip", "listing references"],
    env: {
      OCI_ROOT_URL: `http://127.0.0.1:${port}`,
      OCI_NAMESPACE: REPOSITORY,
      OCI_TEST_PULL: "1",
      OCI_TEST_CONTENT_DISCOVERY: "1",
      OCI_TAG_NAME: "1.0",
      OCI_TAG_LIST: TAG_NAMES.join(","),
      OCI_MANIFEST_DIGEST: MANIFEST,
      OCI_BLOB_DIGEST: BLOB,
      OCI_REPORT_DIR: results,
    },
  };
}

Deno.test({
  name: "the official conformance tests pass",
  ignore: PROGRAM === "",
  async fn() {
    await using fixture = await createLayout();
    await using node = await startConformanceNode(fixture);
    const results = await Deno.makeTempDir({ prefix: "kagami-conformance-" });
    try {
      const options = command(node.port, results);
      const { code, stdout, stderr } = await new Deno.Command(PROGRAM, { ...options, cwd: results })
        .output();
      const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assert.equal(code, 0, output);
      const { passed, failed, skipped } = readReport(
        await Deno.readTextFile(`${results}/junit.xml`),
      );
      assert.ok(passed > 0 && failed === 0, output);
      const text = `official tests: ${passed} passed, ${failed} failed, ${skipped} skipped\n`;
      Deno.stdout.writeSync(new TextEncoder().encode(text));
    } finally {
      await Deno.remove(results, { recursive: true });
    }
  },
});
