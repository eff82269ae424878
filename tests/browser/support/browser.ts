/**
 * A headless Chromium, and what its pages do that no page of Kagami may do.
 *
 * @module
 */
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Where Debian's package puts it. */
const CHROMIUM = "/usr/bin/chromium";

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Longest wait for something on a page, in milliseconds: far more than it takes on a busy machine. */
export const PAGE_TIMEOUT_MS = 60_000;

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}

const hasChromium = await isFile(CHROMIUM);

/** Options of tests that need a browser. */
export const REQUIRES_BROWSER = { ignore: !hasChromium } as const;

if (!hasChromium) {
  const text = `tests of the web page are skipped: no ${CHROMIUM}\n`;
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}

/** @returns The browser, to be closed. */
export async function openBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
}

/** A page that is watched. */
export interface WatchedPage extends AsyncDisposable {
  readonly page: Page;
  /** URLs of all requests so far. */
  readonly requests: readonly string[];
  /** Errors and warnings on the console, uncaught errors, and dialogs. */
  readonly complaints: readonly string[];
}

/**
 * Opens a page.
 *
 * @param browser The browser.
 * @param options Of its context, such as `colorScheme`.
 * @returns The page, still blank.
 */
export async function openPage(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    timezoneId: "UTC",
    ...options,
  });
  context.setDefaultTimeout(PAGE_TIMEOUT_MS);
  const page = await context.newPage();
  const requests: string[] = [];
  const complaints: string[] = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return { page, requests, complaints, [Symbol.asyncDispose]: () => context.close() };
}
