/**
 * Programs from Debian's packages, for benchmarks alone: unpacked rather than installed, so that nothing of them is started or
 * stays on the machine.
 *
 * @module
 */
import { runCommand } from "../../tests/integration/harness/process.ts";

/**
 * Fetches a package and unpacks it.
 *
 * @param name Name of the package.
 * @param path Path of the program in it, without a slash before it.
 * @param folder Where to unpack it.
 * @returns Path of the program; undefined where there is no such package, or it does not run here.
 */
export async function unpackedProgram(
  name: string,
  path: string,
  folder: string,
): Promise<string | undefined> {
  const own = await Deno.makeTempDir({ dir: folder, prefix: `${name}-` });
  const script = 'cd "$0" && apt-get -qq download "$1" && dpkg -x "$1"_*.deb . && ! ldd "$2" | ' +
    'grep -q "not found"';
  try {
    const { code } = await runCommand("sh", ["-c", script, own, name, path]);
    return code === 0 ? `${own}/${path}` : undefined;
  } catch {
    return undefined;
  }
}
