/**
 * Go's regular expressions as JavaScript's, for what they match: filters only ask whether a text matches.
 *
 * @see https://github.com/google/re2/wiki/Syntax
 * @module
 */

type Range = readonly [from: number, to: number];

function range(text: string): Range {
  return [text.charCodeAt(0), text.charCodeAt(text.length - 1)];
}

const UPPER = range("A-Z");
const LOWER = range("a-z");
const DIGIT = range("0-9");

/** Character classes by their POSIX names. */
const CLASSES: Readonly<Record<string, readonly Range[]>> = {
  alnum: [DIGIT, UPPER, LOWER],
  alpha: [UPPER, LOWER],
  ascii: [[0, 0x7f]],
  blank: [range("\t"), range(" ")],
  cntrl: [[0, 0x1f], [0x7f, 0x7f]],
  digit: [DIGIT],
  graph: [range("!-~")],
  lower: [LOWER],
  print: [range(" -~")],
  punct: [range("!-/"), range(":-@"), range("[-`"), range("{-~")],
  space: [range("\t-\r"), range(" ")],
  upper: [UPPER],
  word: [DIGIT, UPPER, range("_"), LOWER],
  xdigit: [DIGIT, range("A-F"), range("a-f")],
};

/** What Go writes in another way, outside of character classes. */
const OUTSIDE: Readonly<Record<string, string>> = {
  "\\A": "(?<![\\s\\S])",
  "\\z": "(?![\\s\\S])",
  "\\a": "\\x07",
};

/** Tokens that matter here; an escape is taken whole, so that an escaped backslash before a letter stays what it is. */
const TOKEN =
  /\\Q([\s\S]*?)(?:\\E|$)|\\x\{([0-9a-fA-F]+)\}|\\[\s\S]|\[\^?\]?|\(\?P<|\(\?([imsU]*(?:-[imsU]+)?)([):])|[\s\S]/y;
const CLASS_TOKEN = /\[:(\^?)([a-z]+):\]|\\x\{([0-9a-fA-F]+)\}|\\[\s\S]|[\s\S]/y;

/** Escapes that mean something else in JavaScript, or that it has in another mode only. */
const UNKNOWN_ESCAPE = /^\\(?:[pPECukcZ89]|Q)$/;

/**
 * Translates an expression.
 *
 * @param source Expression of Go's package regexp.
 * @returns One that matches the same texts; undefined if it cannot be had (`\p`, characters beyond U+FFFF), or if the
 * source is no expression.
 *
 * @example
 * ```ts
 * translateGoRegExp("^docker\\.io/[[:alpha:]]+(?i)nginx\\z")?.test("docker.io/my/NGINX");
 * ```
 */
export function translateGoRegExp(source: string): RegExp | undefined {
  try {
    return new RegExp(new Translator(source).run());
  } catch {
    return undefined;
  }
}

class Translator {
  readonly #source: string;
  #at = 0;
  /** Flags that are open in each group, outermost first: Go's reach to the end of the group, over `|`. */
  readonly #flags: string[][] = [[]];

  constructor(source: string) {
    this.#source = source;
  }

  run(): string {
    let translated = "";
    while (this.#at < this.#source.length) {
      const match = this.#next(TOKEN);
      const [token, literal, code, flags, end] = match;
      if (literal !== undefined) translated += literal.replace(/[^A-Za-z0-9_]/g, "\\$&");
      else if (code !== undefined) translated += character(Number.parseInt(code, 16));
      else if (flags !== undefined) translated += this.#openFlags(flags, end === ":");
      else if (token.startsWith("[")) translated += token.replace("]", "\\]") + this.#class();
      else if (token === "(?P<") translated += this.#open("(?<");
      else if (token === "(") translated += this.#open(token);
      else if (token === ")") translated += this.#close();
      else if (token === "|") translated += `${this.#closers()}|${this.#openers()}`;
      else translated += OUTSIDE[token] ?? known(token);
    }
    return translated + this.#closers();
  }

  #next(pattern: RegExp): RegExpExecArray {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#source)!; // Each pattern takes any character.
    this.#at = pattern.lastIndex;
    return match;
  }

  /** `(?i)` and `(?i:`. U, which prefers other matches, changes nothing in whether there is one. */
  #openFlags(text: string, isGroup: boolean): string {
    const flags = text.replaceAll("U", "").replace(/-$/, "");
    if (isGroup) return this.#open(`(?${flags}:`);
    if (flags === "") return "";
    const prefix = `(?${flags}:`;
    this.#flags.at(-1)!.push(prefix);
    return prefix;
  }

  #open(token: string): string {
    this.#flags.push([]);
    return token;
  }

  #close(): string {
    const closers = this.#closers();
    this.#flags.pop();
    if (this.#flags.length === 0) throw new SyntaxError("a group ends that has not begun");
    return `${closers})`;
  }

  #openers(): string {
    return this.#flags.at(-1)!.join("");
  }

  #closers(): string {
    return ")".repeat(this.#flags.at(-1)!.length);
  }

  /** The rest of a character class. */
  #class(): string {
    let translated = "";
    while (this.#at < this.#source.length) {
      const [token, negation, name, code] = this.#next(CLASS_TOKEN);
      if (token === "]") return translated + token;
      if (code !== undefined) translated += character(Number.parseInt(code, 16));
      else if (name !== undefined) translated += posixClass(name, negation === "^");
      else translated += token === "\\a" ? OUTSIDE[token] : known(token);
    }
    throw new SyntaxError("a character class does not end");
  }
}

function known(token: string): string {
  if (!UNKNOWN_ESCAPE.test(token)) return token;
  throw new SyntaxError(`${token} cannot be expressed`);
}

function character(code: number): string {
  if (code > 0xffff) throw new SyntaxError("a character beyond U+FFFF");
  return `\\u${code.toString(16).padStart(4, "0")}`;
}

function posixClass(name: string, isNegated: boolean): string {
  const ranges = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (ranges === undefined) throw new SyntaxError(`there is no class ${name}`);
  const shown = isNegated ? complement(ranges) : ranges;
  return shown.map(([from, to]) => `${character(from)}-${character(to)}`).join("");
}

function complement(ranges: readonly Range[]): Range[] {
  const gaps: Range[] = [];
  let from = 0;
  for (const [start, end] of ranges.toSorted(([a], [b]) => a - b)) {
    if (start > from) gaps.push([from, start - 1]);
    from = end + 1;
  }
  gaps.push([from, 0xffff]);
  return gaps;
}
