/**
 * Reports of test runs in JUnit's format.
 *
 * @module
 */

/** How tests went. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Counts the tests of a report.
 *
 * @param xml The report.
 * @returns The counts; errors are failures.
 */
export function readReport(xml: string): Counts {
  const sum = { tests: 0, failed: 0, skipped: 0 };
  for (const [, attributes = ""] of xml.matchAll(/<testsuite ([^>]*)>/g)) {
    const read = (name: string) =>
      Number(new RegExp(`\\b${name}="(\\d+)"`).exec(attributes)?.[1] ?? 0);
    sum.tests += read("tests");
    sum.failed += read("failures") + read("errors");
    sum.skipped += read("disabled") + read("skipped");
  }
  const { tests, failed, skipped } = sum;
  return { passed: tests - failed - skipped, failed, skipped };
}
