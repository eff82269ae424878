import assert from "node:assert/strict";
import { compileFilters } from "../../../lib/config/go_regexp.ts";
import { ConfigError } from "../../../lib/errors.ts";

/** Pattern, a text that it matches, one that it does not: as Go 1.26 has it. */
const PATTERNS: [string, string, string][] = [
  ["(?i)^DOCKER\\.io/", "docker.io/library/nginx", "dockerxio/library/nginx"],
  ["(?is)a.b", "A\nB", "ab"],
  ["(?m)^b$", "a\nb", "ab"],
  ["(?m)\\Ab", "b\na", "a\nb"],
  ["(?m)a\\z", "b\na", "a\nb"],
  ["a$", "a", "a\n"],
  ["(?P<tag>:latest)\\z", "x:latest", "x:latest-1"],
  ["(?<tag>:latest)$", "x:latest", "x:latest-1"],
  ["[:@]dev", "x:dev", "x/dev"],
  ["a\\\\Ab", "a\\Ab", "ab"],
  ["(?:a|b)+$", "aab", "c"],
  ["^a(?i)b$", "aB", "AB"],
  ["^(a(?i)b)c$", "aBc", "aBC"],
  ["^(?:a(?i)b|c)d$", "Cd", "cD"],
  ["^a(?i)b|c(?-i)d$", "aB", "CD"],
  ["^a(?i)b|c(?-i)d$", "xCd", "bD"],
  ["^(?i:a)b$", "Ab", "AB"],
  ["^(?U)a+b$", "aab", "b"],
  ["^(?Ui:a)b$", "Ab", "AB"],
  ["^[[:alpha:]]+$", "aZ", "a1"],
  ["^[[:^alpha:]]+$", "1-\u00e9", "1a"],
  ["^[[:alnum:][:punct:]]+$", "a1:/[]{}~", "a b"],
  ["^[^[:digit:]]$", "a", "1"],
  ["^[[:space:]]$", "\t", "x"],
  ["^[[:word:]-]+$", "a_1-", "a.1"],
  ["^[[:xdigit:]]{2}$", "fA", "fg"],
  ["^[]a]+$", "]a", "[a"],
  ["^[^]a]$", "b", "]"],
  ["^[a\\]b]+$", "a]b", "["],
  ["^\\Qa.b|c\\E+$", "a.b|cc", "axb|c"],
  ["\\Qa.b", "xa.b", "axb"],
  ["^\\x{41}\\x42[\\x{43}-\\x{45}]$", "ABD", "ABF"],
  ["^\\a[\\a]$", "\x07\x07", "aa"],
  ["^\\d{2,3}\\w\\s$", "123_ ", "1_ "],
  ["^\\p{Greek}+\\PL$", "\u03b1\u03b2 ", "ab "],
  ["[\\pN]", "x7", "x"],
  ["^\\x{1F600}$", "\u{1F600}", "\u{1F601}"],
  ["^\\[a\\]\\.\\-\\_$", "[a].-_", "a"],
];

for (const [pattern, matching, other] of PATTERNS) {
  Deno.test(`compileFilters() reads ${pattern} as Go does`, async () => {
    const [expression] = await compileFilters([pattern]);
    assert.ok(expression);
    assert.equal(expression.source, pattern);
    assert.equal(expression.test(matching), true, `${pattern} on ${matching}`);
    assert.equal(expression.test(other), false, `${pattern} on ${other}`);
    assert.equal(expression.test(matching), true, "keeps no state between calls");
  });
}

const REFUSED = [
  "(",
  "(\n",
  ")",
  "a)b",
  "[a",
  "[[:alpha:]",
  "[[:letter:]]",
  "[[:constructor:]]",
  "a**",
  "a{2,1}",
  "a{1001}",
  "\\C",
  "[\\Qa\\E]",
  "\\p{Klingon}",
  "(?=a)",
  "(?<!a)b",
  "(a)\\1",
  "(?x)a",
];

for (const pattern of REFUSED) {
  Deno.test(`compileFilters() refuses ${pattern}, and names the option in one line`, async () => {
    await assert.rejects(compileFilters([":latest$", pattern]), (error: Error) => {
      assert(error instanceof ConfigError);
      assert(error.message.startsWith(
        `--registry-filters (REGISTRY_FILTERS): ${
          JSON.stringify(pattern)
        } is not allowed, must be `,
      ));
      return true;
    });
  });
}

Deno.test("an expression of a filter cannot be made to try all ways to match", async () => {
  const [expression] = await compileFilters(["^(?:[a-z]+/?)+$"]);
  // Backtracking would take twice as long with each character more: far longer than there is time.
  assert.equal(expression!.test(`${"a".repeat(2000)}1`), false);
  assert.equal(expression!.test("a".repeat(2000)), true);
});
