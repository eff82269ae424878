/**
 * A look at a pull that is under way.
 *
 * @module
 */
import { eventually } from "./process.ts";

/**
 * Waits until a pull has written some of a layer.
 *
 * @param contentPath containerd's content directory.
 * @param atLeast How much, in bytes.
 */
export async function partOfLayer(contentPath: string, atLeast: number): Promise<void> {
  await eventually("a part of the layer has arrived", async () => {
    for await (const { name } of Deno.readDir(`${contentPath}/ingest`)) {
      const { size } = await Deno.stat(`${contentPath}/ingest/${name}/data`);
      if (size > atLeast) return true;
    }
    return false;
  });
}
