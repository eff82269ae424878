// What pages say must be there: the pages and headings that they link, commands, options, tasks.
import assert from "node:assert/strict";
import { COMMANDS, COMMON_OPTIONS, type Option } from "../../../lib/config/options.ts";

const root = new URL("../../../", import.meta.url);

/** Folders with pages, from the root. */
const FOLDERS = ["", "docs/", "deploy/", "deploy/guides/", "deploy/charts/kagami/"];

/** Programs whose flags are not ours, where one of them is on the line or in the block. */
const OTHERS =
  /\b(helm|kubectl|docker|npx|deno (run|compile|test|audit|bench|check)|az|gcloud|eksctl|aws|talosctl|ctr|cosign|gh|kind|k0s|bench:|task (chaos|soak|test|screenshots|bench)|curl|skopeo|crictl|systemctl|containerd|nodeadm|go|k3s|rke2|minikube|SPEGEL_BIN|--allow-|--v8-|--deny-|--no-prompt|--no-check)/;

/** Flags of other programs that stand alone, and the example of a flag. */
const OTHERS_FLAGS = [
  "embedded-registry",
  "flag",
  "largest-mb",
  "no-prompt",
  "parts",
  "rounds",
  "scale",
];

interface Page {
  readonly path: string;
  readonly text: string;
  readonly url: URL;
}

async function readPages(): Promise<Page[]> {
  const pages: Page[] = [];
  for (const folder of FOLDERS) {
    for await (const { name, isFile } of Deno.readDir(new URL(folder || ".", root))) {
      if (!isFile || !name.endsWith(".md")) continue;
      const url = new URL(`${folder}${name}`, root);
      pages.push({ path: `${folder}${name}`, text: await Deno.readTextFile(url), url });
    }
  }
  return pages.sort((a, b) => a.path < b.path ? -1 : 1);
}

const pages = await readPages();

/** Fragments of the headings of a page, as GitHub makes them. */
function fragmentsOf(text: string): Set<string> {
  const headings = text.replaceAll(/^```.*?^```/gms, "").matchAll(/^#{1,6} (.+)$/gm);
  const fragments = new Set<string>();
  for (const [, heading = ""] of headings) {
    const base = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").trim().replaceAll(/\s/g, "-");
    let fragment = base;
    for (let number = 1; fragments.has(fragment); number++) fragment = `${base}-${number}`;
    fragments.add(fragment);
  }
  return fragments;
}

function linksOf(text: string): string[] {
  const prose = text.replaceAll(/^```.*?^```/gms, "").replaceAll(/`[^`\n]*`/g, "");
  return Array.from(prose.matchAll(/\]\(([^()\s]+)\)/g), ([, target = ""]) => target);
}

/** Lines of code blocks with continued lines put together, and inline code with the line that it is in. */
function codeOf(text: string): { readonly code: string; readonly context: string }[] {
  const found: { code: string; context: string }[] = [];
  for (const [block] of text.matchAll(/^```.*?^```/gms)) {
    const joined = block.replaceAll("\\\n", " ");
    for (const code of joined.split("\n").slice(1, -1)) found.push({ code, context: joined });
  }
  for (const line of text.replaceAll(/^```.*?^```/gms, "").split("\n")) {
    for (const [, code = ""] of line.matchAll(/`([^`]+)`/g)) found.push({ code, context: line });
  }
  return found;
}

for (const { path, text, url } of pages) {
  Deno.test(`${path}: every page, file and heading that it links is there`, async () => {
    for (const link of linksOf(text)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [target = "", fragment] = link.split("#");
      const file = target === "" ? url : new URL(target, url);
      await assert.doesNotReject(Deno.stat(file), `${link} is not there`);
      if (fragment === undefined || !file.pathname.endsWith(".md")) continue;
      const linked = await Deno.readTextFile(file);
      assert(fragmentsOf(linked).has(fragment), `${link}: no such heading`);
    }
  });

  Deno.test(`${path}: commands, options and tasks that it names exist`, async () => {
    const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
    const options = [COMMON_OPTIONS, ...Object.values(COMMANDS).map(({ options }) => options)]
      .flatMap((table) => Object.values<Option<unknown>>(table).map(({ flag }) => flag));
    const flags = new Set([...options, "help", ...OTHERS_FLAGS]);
    for (const { code, context } of codeOf(text)) {
      for (
        const [, name = ""] of code.matchAll(
          /(?<![\w-]|-n |--namespace )kagami ([a-z][a-z-]*)\b(?![:/.])/g,
        )
      ) {
        // A release, a namespace or a container may be called the same.
        if (OTHERS.test(code) && !/\/kagami /.test(code)) continue;
        assert([...Object.keys(COMMANDS), "help"].includes(name), `kagami ${name}: ${code}`);
      }
      for (const [, name = ""] of code.matchAll(/deno task ([a-z:]+)/g)) {
        assert(name in tasks, `deno task ${name}`);
      }
      if (OTHERS.test(context)) continue;
      for (const [, flag = ""] of code.matchAll(/(?:^|\s)--([a-z][a-z-]+)/g)) {
        const isDenos = /^(allow|deny)-/.test(flag);
        assert(isDenos || flags.has(flag), `--${flag}: ${code}`);
      }
    }
  });
}

Deno.test("every page of docs is linked from the README", () => {
  const readme = pages.find(({ path }) => path === "README.md")!;
  const linked = new Set(linksOf(readme.text).map((link) => link.split("#")[0]));
  for (const { path } of pages.filter(({ path }) => path.startsWith("docs/"))) {
    assert(linked.has(path), path);
  }
});
