/**
 * The files of the web page, as they are served. They are part of the program: nothing is read from disk, and the browser
 * is sent to no other host.
 *
 * @module
 */
import type { Route, RouteAnswer } from "../observability/metrics_server.ts";
import chart from "./web/chart.js" with { type: "text" };
import dom from "./web/dom.js" with { type: "text" };
import format from "./web/format.js" with { type: "text" };
import icon from "./web/icon.svg" with { type: "text" };
import page from "./web/page.js" with { type: "text" };
import sections from "./web/sections.js" with { type: "text" };
import style from "./web/style.css" with { type: "text" };
import html from "./web/index.html" with { type: "text" };

/** Path of the page; Spegel has its own at the same one. */
export const WEB_PATH = "/debug/web/";

/**
 * Scripts, styles and data come from the mirror alone, nothing is embedded elsewhere, and no script may turn text into
 * markup.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  "Content-Security-Policy": CONTENT_SECURITY_POLICY,
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Frame-Options": "DENY",
} as const;

const JAVASCRIPT = "text/javascript; charset=utf-8";

const FILES: Readonly<Record<string, readonly [contentType: string, text: string]>> = {
  "": ["text/html; charset=utf-8", html],
  "style.css": ["text/css; charset=utf-8", style],
  "icon.svg": ["image/svg+xml", icon],
  "page.js": [JAVASCRIPT, page],
  "sections.js": [JAVASCRIPT, sections],
  "chart.js": [JAVASCRIPT, chart],
  "dom.js": [JAVASCRIPT, dom],
  "format.js": [JAVASCRIPT, format],
};

/**
 * Makes the paths of the page.
 *
 * @returns What answers, by path.
 */
export function webPageRoutes(): Record<string, Route> {
  const routes: Record<string, Route> = {};
  for (const [name, [contentType, text]] of Object.entries(FILES)) {
    const answer = Promise.resolve({ status: 200, contentType, text, headers: HEADERS });
    routes[`${WEB_PATH}${name}`] = () => answer;
  }
  // Relative, so that they also hold behind a proxy that adds to the path.
  for (
    const [path, target] of [["/debug/web", "web/"], ["/debug/", "web/"], ["/debug", "debug/web/"]]
  ) {
    routes[path!] = () => Promise.resolve(redirect(target!));
  }
  return routes;
}

function redirect(target: string): RouteAnswer {
  return { status: 307, contentType: "text/plain", text: "", headers: { Location: target } };
}
