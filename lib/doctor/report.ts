/**
 * Findings as text.
 *
 * @module
 */
import type { Finding, Level } from "./finding.ts";
import { aligned } from "./text.ts";

const COLOURS: Readonly<Record<Level, number>> = { ok: 32, warning: 33, failure: 31 };

/**
 * Writes findings for people.
 *
 * @param findings The findings.
 * @param hasColour Whether levels are coloured.
 * @returns Lines, each with its newline.
 */
export function formatFindings(findings: readonly Finding[], hasColour: boolean): string {
  const rows = findings.map(({ level, check, what }) => [level, check, oneLine(what)]);
  const lines = aligned(rows).flatMap((line, index) => {
    const { level, remedy, code } = findings[index]!;
    const coloured = hasColour
      ? `\x1b[${COLOURS[level]}m${line.slice(0, level.length)}\x1b[0m${line.slice(level.length)}`
      : line;
    if (remedy === undefined) return [coloured];
    return [coloured, `         remedy: ${remedy} [${code}]`];
  });
  return [...lines, "", summary(findings), ""].join("\n");
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

function summary(findings: readonly Finding[]): string {
  const count = (wanted: Level) => findings.filter(({ level }) => level === wanted).length;
  return `${count("failure")} failures, ${count("warning")} warnings, ${count("ok")} ok`;
}

/**
 * @param findings The findings.
 * @returns True if none of them is a failure.
 */
export function isHealthy(findings: readonly Finding[]): boolean {
  return findings.every(({ level }) => level !== "failure");
}
