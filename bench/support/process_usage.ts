/**
 * What a process uses, by Linux's `/proc`.
 *
 * @module
 */
import { sleep } from "../../lib/sleep.ts";

/** Processes are quiet when they use less than this share of a core, all together. */
const QUIET_SHARE = 0.2;

/** Longest wait for that, in milliseconds. */
const QUIET_TIMEOUT_MS = 60_000;

/** Ticks of a second in `/proc/<pid>/stat`; 100 on every Linux that Deno runs on. */
const TICKS_PER_SECOND = 100;

/** Memory of a process in MiB. */
export interface MemoryUsage {
  /** Resident now. */
  readonly rssMib: number;
  /** Most that was resident since the start, or since {@linkcode resetPeak}. */
  readonly peakMib: number;
}

/**
 * CPU time that a process has used, all threads, user and system.
 *
 * @param pid Its ID.
 * @returns Seconds.
 */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  // The name in brackets may hold anything; fields are counted from behind it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [utime, stime] = [Number(fields[11]), Number(fields[12])];
  return (utime + stime) / TICKS_PER_SECOND;
}

/**
 * CPU time of several processes together.
 *
 * @param pids Their IDs.
 * @returns Seconds.
 */
export async function totalCpuSeconds(pids: readonly number[]): Promise<number> {
  return (await Promise.all(pids.map(cpuSeconds))).reduce((sum, seconds) => sum + seconds, 0);
}

/**
 * Memory of a process.
 *
 * @param pid Its ID.
 * @returns Resident now and at most.
 */
export async function memoryUsage(pid: number): Promise<MemoryUsage> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const mib = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
  return { rssMib: mib("VmRSS"), peakMib: mib("VmHWM") };
}

/**
 * Lets {@linkcode MemoryUsage.peakMib} begin anew.
 *
 * @param pid Its ID.
 */
export async function resetPeak(pid: number): Promise<void> {
  await Deno.writeTextFile(`/proc/${pid}/clear_refs`, "5");
}

/**
 * A process and the ones that it has started.
 *
 * @param pid Its ID.
 * @returns Their IDs, its own first.
 */
export async function withChildren(pid: number): Promise<number[]> {
  const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
  return [pid, ...children.split(" ").filter((text) => text !== "").map(Number)];
}

/**
 * Share of a core that processes use within a time.
 *
 * @param pids Their IDs.
 * @param ms The time, in milliseconds.
 * @returns The share, of all together.
 */
export async function coreShare(pids: readonly number[], ms: number): Promise<number> {
  const startedAt = performance.now();
  const before = await totalCpuSeconds(pids);
  await sleep(ms);
  const used = await totalCpuSeconds(pids) - before;
  return used / ((performance.now() - startedAt) / 1000);
}

/**
 * Waits until processes have nothing to do, or at most a minute.
 *
 * @param pids Their IDs.
 * @param share Share of a core that they use even then.
 */
export async function untilQuiet(pids: readonly number[], share = QUIET_SHARE): Promise<void> {
  const deadline = performance.now() + QUIET_TIMEOUT_MS;
  while (await coreShare(pids, 1000) > share && performance.now() < deadline) { /* Busy. */ }
}
