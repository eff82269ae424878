/**
 * Takes the pictures of the web page for the documentation, of real nodes at work: `deno task screenshots`.
 *
 * @module
 */
import type { Page } from "playwright-core";
import { sleep } from "../../lib/sleep.ts";
import { makeContent } from "../unit/support/content.ts";
import { openBrowser, openPage } from "./support/browser.ts";
import { blobsOf, IMAGE, isFound, pageOf, pull, startNodes } from "./support/nodes.ts";

const FOLDER = new URL("../../docs/images/", import.meta.url);

/** Time from one pull to the next, so that they stand in columns of their own. */
const PAUSE_MS = 61_000;

/** Time until a good part of the first layer is there. */
const HALFWAY_MS = 2000;

await Deno.mkdir(FOLDER, { recursive: true });
await using cluster = await startNodes({ zones: ["zone-a", "zone-a", "zone-b", "zone-b"] });
const [, second, , fourth] = cluster.nodes;
await isFound(second, 1);
await pull(second);
// Something that only upstream has.
const { bytes, digest } = makeContent(4_000_000);
await (await fetch(`${second.url}/v2/team/app/blobs/${digest}?ns=demo.example`)).body?.cancel();
await second.store.write(bytes);
await sleep(PAUSE_MS);

await using browser = await openBrowser();
await using stack = new AsyncDisposableStack();
const pages = new Map<string, Page>();
for (const colorScheme of ["light", "dark"] as const) {
  const viewport = { width: 1240, height: 1230 };
  const { page } = stack.use(await openPage(browser, { colorScheme, viewport }));
  pages.set(colorScheme, page);
  await page.goto(pageOf(second));
  await page.fill("#image", IMAGE);
  await page.keyboard.press("Enter");
  await page.locator("#measured tr").nth(4).waitFor();
}
await fourth!.stop();
// As if the image had never been there.
for (const { path } of await blobsOf(second.store)) await Deno.remove(path);
const pulling = pull(second);
for (const page of pages.values()) {
  await page.locator("#transfers progress").first().waitFor();
  await page.locator("#problems-now li").first().waitFor();
}
await sleep(HALFWAY_MS);
for (const [name, page] of pages) {
  await page.evaluate("scrollTo(0, 0)");
  await page.screenshot({ path: new URL(`web-${name}.png`, FOLDER).pathname });
}
const measured = pages.get("light")!.locator("section", { hasText: "Measure a pull" });
await measured.screenshot({ path: new URL("web-measure.png", FOLDER).pathname });
await pulling;
