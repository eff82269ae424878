/**
 * The command `prepare`.
 *
 * The mirror needs no root: the group of containerd's socket is enough. Only the directory that keeps its identity is
 * made by kubelet, for root alone. This command runs before it, as root but without any capability, which is why it
 * gives the directory to the group and not to another user.
 *
 * @module
 */
import type { PrepareConfig } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { KEY_FILE } from "../routing/libp2p/identity.ts";

const GROUP_MAY_WRITE_FOLDER = 0o070;
const GROUP_MAY_READ_FILE = 0o040;

/**
 * Lets the group that owns the data directory use it, and read an identity that root made there.
 *
 * @param config Which directory.
 * @param log Told what was changed.
 */
export async function runPrepare({ dataDir }: PrepareConfig, log: Logger): Promise<void> {
  await Deno.mkdir(dataDir, { recursive: true });
  await allow(dataDir, GROUP_MAY_WRITE_FOLDER, log);
  await allow(`${dataDir}/${KEY_FILE}`, GROUP_MAY_READ_FILE, log);
}

async function allow(path: string, bits: number, log: Logger): Promise<void> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const mode = (info.mode ?? 0) & 0o7777;
  // What another user owns is the mirror's own already.
  if ((mode & bits) === bits || info.uid !== Deno.uid()) return;
  await Deno.chmod(path, mode | bits);
  log.info("gave the group access", { path, gid: info.gid });
}
