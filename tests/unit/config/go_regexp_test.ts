import assert from "node:assert/strict";
import { translateGoRegExp } from "../../../lib/config/go_regexp.ts";

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
  ["^\\[a\\]\\.\\-\\_$", "[a].-_", "a"],
];

for (const [pattern, matching, other] of PATTERNS) {
  Deno.test(`translateGoRegExp() reads ${pattern} as Go does`, () => {
    const expression = translateGoRegExp(pattern);
    assert.ok(expression);
    assert.equal(expression.test(matching), true, `${expression} on ${matching}`);
    assert.equal(expression.test(other), false, `${expression} on ${other}`);
    assert.equal(expression.test(matching), true, "keeps no state between calls");
  });
}

const REFUSED = [
  "(",
  ")",
  "a)b",
  "[a",
  "[[:alpha:]",
  "[[:letter:]]",
  "[[:constructor:]]",
  "a**",
  "\\pL",
  "\\PL",
  "[\\p{Greek}]",
  "\\C",
  "[\\Qa\\E]",
  "\\x{1F600}",
  "(?x)a",
];

for (const pattern of REFUSED) {
  Deno.test(`translateGoRegExp() refuses ${pattern}`, () => {
    assert.equal(translateGoRegExp(pattern), undefined);
  });
}
