/**
 * Finds the documented constants of the code: every bound on time, number and memory is one.
 *
 * @module
 */

/** An exported constant with a number in it. */
export interface Constant {
  /** Path of its module, from the root of the repository. */
  readonly module: string;
  readonly name: string;
  /** Its value, as the code states it. */
  readonly value: string;
  /** Its doc comment, in one line. */
  readonly meaning: string;
}

const DECLARATION =
  /\/\*\*((?:(?!\*\/)[^])*)\*\/\nexport const ([A-Z][A-Z0-9_]*)[^=\n]*= ([^;]*\d[^;]*);/g;

/** A number, a product of numbers, or a flat object of such. */
const VALUE = /^(?:[\d_.* ]+|\{[\sa-zA-Z:\d_.*,]+\}(?: as const)?)$/;

/**
 * Lists the constants of a folder.
 *
 * @param root URL of the repository's root.
 * @param folder Folder below it, with a slash at the end.
 * @returns The constants, by module and in the order of the code.
 */
export async function constantsIn(root: URL, folder: string): Promise<Constant[]> {
  const found: Constant[] = [];
  const entries = await Array.fromAsync(Deno.readDir(new URL(folder, root)));
  for (const { name, isDirectory } of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    if (isDirectory) found.push(...await constantsIn(root, `${folder}${name}/`));
    else if (name.endsWith(".ts")) {
      const text = await Deno.readTextFile(new URL(folder + name, root));
      found.push(...constantsOf(`${folder}${name}`, text));
    }
  }
  return found;
}

function constantsOf(module: string, text: string): Constant[] {
  return [...text.matchAll(DECLARATION)].flatMap(([, comment = "", name = "", value = ""]) => {
    if (!VALUE.test(value)) return [];
    const meaning = comment.replace(/\n\s*\*/g, " ").replace(/\{@linkcode ([^}]+)\}/g, "`$1`");
    return [{
      module,
      name,
      value: value.replace(/ as const$/, "").replace(/\s+/g, " "),
      meaning: meaning.replace(/\s+/g, " ").trim(),
    }];
  });
}
