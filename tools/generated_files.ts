/**
 * Writes generated files, or compares them with what is there.
 *
 * @module
 */

const root = new URL("../", import.meta.url);

/**
 * Writes files; with `--check` on the command line it only compares.
 *
 * @param files Texts by path from the root of the repository.
 * @param task What to run when they differ.
 * @returns Number of files that differ.
 */
export async function writeOrCompare(
  files: Readonly<Record<string, string>>,
  task: string,
): Promise<number> {
  let stale = 0;
  for (const [path, text] of Object.entries(files)) {
    const url = new URL(path, root);
    const wanted = await formatted(text, path);
    if (!Deno.args.includes("--check")) {
      await Deno.mkdir(new URL(".", url), { recursive: true });
      await Deno.writeTextFile(url, wanted);
    } else if (await Deno.readTextFile(url).catch(() => "") !== wanted) {
      stale += 1;
      await Deno.stderr.write(
        new TextEncoder().encode(`${path} is not in step with its source; run ${task}\n`),
      );
    }
  }
  return stale;
}

/**
 * Formats as `deno fmt` does, so that both gates agree.
 *
 * @param text Any text.
 * @param path Path of its file, for the kind.
 * @returns The formatted text.
 */
export async function formatted(text: string, path: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", path.slice(path.lastIndexOf(".") + 1), "-"],
    cwd: root,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  if (!success) throw new Error(`${path}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
