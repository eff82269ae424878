/**
 * The web page in a real browser, of real nodes.
 *
 * @module
 */
import assert from "node:assert/strict";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { DEMO_LAYER_SIZES } from "../../lib/cli/demo_image.ts";
import { makeContent } from "../unit/support/content.ts";
import { eventually } from "../unit/support/eventually.ts";
import { openBrowser, openPage, PAGE_TIMEOUT_MS, REQUIRES_BROWSER } from "./support/browser.ts";
import { blobsOf, IMAGE, isFound, overviewOf, pageOf, pull, startNodes } from "./support/nodes.ts";

/** Does something that can be seen, if it becomes markup. */
const MARKUP = `<img src=x onerror="document.title='owned';alert(1)">`;

const IMAGE_SIZE = DEMO_LAYER_SIZES.reduce((sum, size) => sum + size);

/** Waits for a text in an element. */
async function hasText(page: Page, selector: string, text: string | RegExp): Promise<void> {
  const pattern = typeof text === "string" ? text : undefined;
  let last = "";
  await eventually(`${selector} says ${text}`, async () => {
    last = await page.locator(selector).innerText();
    return pattern === undefined ? (text as RegExp).test(last) : last.includes(pattern);
  }, PAGE_TIMEOUT_MS).catch((error) => {
    throw new Error(`${error.message}, but ${JSON.stringify(last)}`);
  });
}

/** @returns Value of a tile. */
async function tile(page: Page, name: string): Promise<string> {
  return await page.locator(`#tiles [data-key="${name}"] dd`).innerText();
}

/** Rules that are broken, each with where. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = await page.evaluate(
    "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })",
  ) as axe.AxeResults;
  assert.ok(found.passes.length > 20, "rules were applied");
  return found.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

Deno.test({
  name: "the web page shows a running node",
  ...REQUIRES_BROWSER,
  async fn(t) {
    await using cluster = await startNodes({ zones: ["zone-a", "zone-a", MARKUP] });
    const [first, second, third] = cluster.nodes;
    await using browser = await openBrowser();
    await using watched = await openPage(browser);
    const { page, requests, complaints } = watched;

    await t.step("/debug/ leads to it, and it comes to life", async () => {
      await page.goto(`${second.metricsUrl}/debug/`);
      assert.equal(page.url(), pageOf(second));
      await hasText(page, "#state", "Live");
      await hasText(page, "#where", second.address);
      assert.equal(await page.title(), "Kagami 127.0.0.2");
      assert.equal(await tile(page, "From peers"), "0 B");
    });

    await t.step("peers with latency and zone; what they say is text", async () => {
      await hasText(page, "#peers", /127\.0\.0\.1:\d+\s+ready\s+[\d.]+ ms\s+zone-a \(same\)/);
      await hasText(page, "#peers", new RegExp(`${third.address}\\s+ready\\s+[\\d.]+ m?s`));
      await hasText(page, "#peers", MARKUP);
      assert.equal(await page.locator("#peers img").count(), 0);
    });

    await t.step("a transfer under way, with progress and rate", async () => {
      await isFound(second, 1);
      const pulling = pull(second);
      await hasText(page, "#transfers", /from a peer\s+127\.0\.0\.1:\d+/);
      await hasText(page, "#transfers", /to containerd/);
      const row = page.locator("#transfers tr", { hasText: "from a peer" });
      const bar = row.locator("progress").first();
      const seen = Number(await bar.getAttribute("value"));
      assert.equal(Number(await bar.getAttribute("max")), DEMO_LAYER_SIZES[0]);
      await eventually("it goes on", async () => {
        const now = Number(await bar.getAttribute("value"));
        return now > seen && now <= DEMO_LAYER_SIZES[0]!;
      }, PAGE_TIMEOUT_MS);
      assert.match(await page.locator("#transfers").innerText(), /[\d.]+ [kM]B\/s/);
      await pulling;
      await hasText(page, "#transfers", "Nothing is on its way.");
      await page.getByText("Finished a moment ago").click();
      await hasText(page, "#finished", /to containerd\s+127\.0\.0\.1\s+whole\s+8\.4 MB/);
    });

    await t.step("savings grow, in figures, chart and table", async () => {
      const { totals } = await overviewOf(second);
      assert.ok(totals.peers > IMAGE_SIZE && totals.peers < IMAGE_SIZE + 10_000);
      assert.deepEqual([totals.local, totals.upstream, totals.given], [0, 0, 0]);
      await eventually("the tile", async () => await tile(page, "From peers") === "10.7 MB");
      assert.equal(await tile(page, "Saved"), "100 %");
      await hasText(page, "#savings-summary", "10.7 MB came from peers instead of upstream (100 %");
      assert.ok(await page.locator('#chart rect[data-series="peers"]').count() > 0);
      await page.getByText("Chart as a table").click();
      await hasText(page, "#savings", /\d\d:\d\d\s+[\d.]+ [kM]B\s+0 B\s+0 B\s+0 B/);
      await page.selectOption("#span", "day");
      await hasText(page, "#savings-summary", "In the last day, 10.7 MB came from peers");
    });

    await t.step("what came from upstream is no saving", async () => {
      const { bytes, digest } = makeContent(3_000_000);
      const blob = `${second.url}/v2/team/app/blobs/${digest}?ns=demo.example`;
      const missing = await fetch(blob);
      await missing.body?.cancel();
      assert.equal(missing.status, 404);
      await second.store.write(bytes);
      await eventually(
        "it is counted",
        async () => await tile(page, "From upstream") === "3.0 MB",
        PAGE_TIMEOUT_MS,
      );
      assert.equal(await tile(page, "Saved"), "78 %");
    });

    await t.step("images, and where else they are", async () => {
      await hasText(page, "#images", new RegExp(`${IMAGE}\\s+sha256:[0-9a-f]{12}…\\s+yes`));
      await hasText(page, "#images", `1 peer: ${first.address}`);
      await page.fill("#filter", "no such image");
      await hasText(page, "#images", "No image matches.");
      await page.fill("#filter", "TEAM/app");
      await hasText(page, "#images", IMAGE);
    });

    await t.step("a pull is measured, from the keyboard", async () => {
      await page.focus("#image");
      await page.keyboard.type(IMAGE);
      await page.keyboard.press("Enter");
      await hasText(page, "#measure-status", `${IMAGE}: 10.7 MB in `);
      await hasText(page, "#measure-status", "5 contents");
      const [manifest, config, layer] = await page.locator("#measured tr").allInnerTexts();
      assert.match(manifest!, /manifest\s+127\.0\.0\.1:\d+\s+\d+ B\s+–\s+[\d.]+ m?s/);
      assert.match(config!, /config\s+127\.0\.0\.1:\d+\s+\d+ B\s+[\d.]+ m?s\s+[\d.]+ m?s/);
      assert.match(layer!, /layer\s+127\.0\.0\.1:\d+\s+8\.4 MB\s+[\d.]+ m?s\s+[\d.]+ s/);
      await hasText(page, "#found", first.address);
      assert.equal(
        (await overviewOf(second)).totals.peers < IMAGE_SIZE + 10_000,
        true,
        "no saving",
      );
    });

    await t.step("a measurement that finds nobody says what to do", async () => {
      await page.fill("#image", "demo.example/team/none:v1");
      await page.click("#measure-go");
      await hasText(page, "#measure-status", "demo.example/team/none:v1: no peer has the image.");
      await hasText(page, "#measure-remedy", "Remedy: ");
    });

    await t.step("what is no image is told as text", async () => {
      // The browser tells of each answer that is no success; it is one here.
      const before = complaints.length;
      await page.fill("#image", MARKUP);
      await page.keyboard.press("Enter");
      await hasText(page, "#measure-status", "Not measured: ");
      await hasText(page, "#measure-status", "<img src=x");
      assert.match(complaints.slice(before).join(), /^Failed to load resource: .* 400/);
      (complaints as string[]).splice(before);
      assert.equal(await page.locator("#measure-status img").count(), 0);
    });

    await t.step("updates can be paused", async () => {
      await page.focus("#pause");
      await page.keyboard.press("Space");
      await hasText(page, "#state", "Paused");
      const { length } = requests;
      await page.waitForTimeout(3000);
      assert.ok(requests.length - length <= 2, "a round under way may end");
      await page.keyboard.press("Space");
      await hasText(page, "#state", "Live");
    });

    await t.step("an error of the log, with its remedy", async () => {
      await using other = await openPage(browser);
      await other.page.goto(pageOf(first));
      await hasText(other.page, "#state", "Live");
      const [largest] = await blobsOf(first.store);
      await Deno.writeFile(largest!.path, new Uint8Array(DEMO_LAYER_SIZES[0]!));
      const response = await fetch(
        `${first.url}/v2/team/app/blobs/${largest!.digest}?ns=demo.example`,
        { headers: { "X-Spegel-Mirrored": "true" } },
      );
      await response.body?.cancel();
      assert.equal(response.status, 404);
      await hasText(other.page, "#errors", "stored content does not match its digest");
      await hasText(other.page, "#errors", /\sremove .*anew/);
      assert.deepEqual(other.complaints, []);
    });

    await t.step("a peer that is lost is a problem, with its remedy", async () => {
      await third.stop();
      await hasText(page, "#problems-now", /Warning: \S+ at 127\.0\.0\.3 was lost \d+ s ago/);
      await hasText(page, "#problems-now", "Remedy: look at that node");
      await hasText(page, "#peers", /127\.0\.0\.3\s+lost/);
    });

    for (const colorScheme of ["light", "dark"] as const) {
      await t.step(`accessible, ${colorScheme}`, async () => {
        await using other = await openPage(browser, { colorScheme });
        await other.page.goto(pageOf(second));
        await hasText(other.page, "#problems-now", "was lost");
        await hasText(other.page, "#images", IMAGE);
        for (const summary of await other.page.locator("summary").all()) await summary.click();
        await other.page.fill("#image", IMAGE);
        await other.page.keyboard.press("Enter");
        await hasText(other.page, "#measure-status", "not all of it came");
        assert.deepEqual(await violations(other.page), []);
        const ground = await other.page.evaluate(
          "getComputedStyle(document.documentElement).backgroundColor",
        );
        assert.equal(ground, colorScheme === "light" ? "rgb(245, 246, 248)" : "rgb(17, 21, 27)");
      });
    }

    await t.step("small screens need no scrolling to the side", async () => {
      await using other = await openPage(browser, { viewport: { width: 360, height: 700 } });
      await other.page.goto(pageOf(second));
      await hasText(other.page, "#images", IMAGE);
      assert.ok(await other.page.evaluate("document.documentElement.scrollWidth") as number <= 360);
    });

    await t.step("everything can be reached by keyboard, the content first if wanted", async () => {
      await using other = await openPage(browser);
      await other.page.goto(pageOf(second));
      await hasText(other.page, "#images", IMAGE);
      await other.page.keyboard.press("Tab");
      assert.equal(
        await other.page.evaluate("document.activeElement.textContent"),
        "Skip to content",
      );
      const reached: string[] = [];
      for (let presses = 0; presses < 40; presses++) {
        await other.page.keyboard.press("Tab");
        reached.push(await other.page.evaluate("document.activeElement.id") as string);
      }
      const wanted = ["pause", "span", "filter", "image", "measure-go"];
      assert.deepEqual(reached.filter((id) => wanted.includes(id)).slice(0, 5), wanted);
    });

    await t.step("whatever a node tells stays text", async () => {
      await using other = await openPage(browser);
      const text = (await (await fetch(`${second.metricsUrl}/debug/overview`)).text())
        .replaceAll('"0.1.0"', JSON.stringify(MARKUP));
      assert.ok(text.includes("onerror"), "versions of the node and its peers");
      const error = { level: "failure", what: MARKUP, remedy: MARKUP, count: 1, lastAgoMs: 0 };
      const overview = JSON.stringify({ ...JSON.parse(text), problems: [error], errors: [error] });
      const images = JSON.stringify({
        images: [{ name: MARKUP, digest: MARKUP, isMirrored: true }],
        matching: 1,
        total: 1,
      });
      const contentType = "application/json";
      await other.page.route(
        "**/debug/overview",
        (route) => route.fulfill({ body: overview, contentType }),
      );
      await other.page.route(
        "**/debug/images*",
        (route) => route.fulfill({ body: images, contentType }),
      );
      await other.page.goto(pageOf(second));
      for (const id of ["facts", "peers", "problems-now", "errors", "images"]) {
        await hasText(other.page, `#${id}`, MARKUP);
      }
      assert.equal(await other.page.locator("main img").count(), 0);
      assert.equal(await other.page.title(), "Kagami 127.0.0.2");
      assert.deepEqual(other.complaints, []);
    });

    await t.step("no request to another host, and no complaint of the browser", () => {
      const { origin } = new URL(second.metricsUrl);
      assert.deepEqual(requests.filter((url) => new URL(url).origin !== origin), []);
      assert.deepEqual(complaints, []);
    });

    await t.step("a node that is gone is seen to be gone, and its return as well", async () => {
      await second.stop();
      await hasText(page, "#state", "No answer");
      await hasText(page, "#banner", /The node does not answer. What is shown is of \d\d:\d\d./);
      await second.start();
      await hasText(page, "#state", "Live");
      assert.equal(await page.locator("#banner").isVisible(), false);
    });
  },
});
