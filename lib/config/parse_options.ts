/**
 * Reads options from a command line and the environment, as Spegel's parser (go-arg) does: `--x value`, `--x=value`,
 * lists as `--x a b c` or repeated, booleans without a value; else the environment, lists there separated by commas.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { boolean } from "./value_parsers.ts";
import type { ListOption, Option, OptionTable } from "./options.ts";

/** Environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The values of an option table. */
export type ValuesOf<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends ListOption<infer T> ? readonly T[]
    : Table[Name] extends Option<infer T> ? T | undefined
    : never;
};

/**
 * Reads all options of a table.
 *
 * @param table The options.
 * @param args Command line after the command's name.
 * @param env Environment.
 * @returns Values by property name; undefined where nothing was given and the default is empty.
 * @throws {ConfigError} If an option is unknown, missing or has a value that is not allowed.
 */
export function parseOptions<Table extends OptionTable>(
  table: Table,
  args: readonly string[],
  env: Environment,
): ValuesOf<Table> {
  const given = readArguments(table, args);
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(table)) {
    const texts = given.get(option.flag) ?? fromEnvironment(option, env) ?? [];
    if (option.required && texts.every((text) => text === "")) {
      throw new ConfigError(`${label(option)} is required, must be ${option.parser.allowed}`);
    }
    values[name] = isList(option)
      ? texts.map((text) => parseValue(option, text))
      : parseSingle(option, texts.at(-1) ?? option.default);
  }
  // Each property was set from the option of the same name.
  return values as ValuesOf<Table>;
}

/**
 * Names the options of a table that were given, with a value that is not empty.
 *
 * @param table The options.
 * @param args Command line after the command's name.
 * @param env Environment.
 * @returns Names of their properties.
 * @throws {ConfigError} If an argument is unknown.
 */
export function givenOptions<Table extends OptionTable>(
  table: Table,
  args: readonly string[],
  env: Environment,
): ReadonlySet<keyof Table> {
  const given = readArguments(table, args);
  const names = Object.keys(table).filter((name) => {
    const texts = given.get(table[name]!.flag) ?? fromEnvironment(table[name]!, env) ?? [];
    return texts.some((text) => text !== "");
  });
  return new Set<keyof Table>(names);
}

function isList(option: Option<unknown>): boolean {
  return "list" in option;
}

/** How an option is called in messages. */
export function label(option: Option<unknown>): string {
  return `--${option.flag}${option.env === undefined ? "" : ` (${option.env})`}`;
}

function parseSingle(option: Option<unknown>, text: string): unknown {
  if (text === "" && option.default === "") return undefined;
  return parseValue(option, text);
}

function parseValue(option: Option<unknown>, text: string): unknown {
  const value = option.parser.parse(text);
  if (value !== undefined) return value;
  throw new ConfigError(
    `${label(option)}: ${JSON.stringify(text)} is not allowed, must be ${option.parser.allowed}`,
  );
}

/** Texts of the options on the command line, by flag. */
function readArguments(table: OptionTable, args: readonly string[]): Map<string, string[]> {
  const byFlag = new Map(Object.values(table).map((option) => [option.flag, option]));
  const positional = Object.values(table).find((option) => option.positional);
  const given = new Map<string, string[]>();
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (positional !== undefined && !arg.startsWith("-") && !given.has(positional.flag)) {
      given.set(positional.flag, [arg]);
      continue;
    }
    const [, flag, inline] = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(arg) ?? [];
    const option = flag === undefined ? undefined : byFlag.get(flag);
    if (option === undefined) {
      throw new ConfigError(`unknown argument ${JSON.stringify(arg)}; --help lists what there is`);
    }
    const texts = given.get(option.flag) ?? [];
    texts.push(...takeValues(option, inline, rest));
    given.set(option.flag, texts);
  }
  return given;
}

function takeValues(
  option: Option<unknown>,
  inline: string | undefined,
  rest: string[],
): string[] {
  if (inline !== undefined) return [inline];
  if (option.parser === boolean) return ["true"];
  const values: string[] = [];
  while (rest[0] !== undefined && !/^--?[a-z]/.test(rest[0])) {
    values.push(rest.shift()!);
    if (!isList(option)) break;
  }
  // A template that has none for a list leaves the flag alone.
  if (values.length === 0 && !isList(option)) {
    throw new ConfigError(`${label(option)} needs a value: ${option.parser.allowed}`);
  }
  return values;
}

/** An empty variable counts as not set: templates leave such behind. */
function fromEnvironment(option: Option<unknown>, env: Environment): string[] | undefined {
  const text = option.env === undefined ? "" : env[option.env] ?? "";
  if (text === "") return undefined;
  return isList(option) ? splitList(text) : [text];
}

/** Splits at commas; a value within double quotes may hold commas, and two quotes for one. */
function splitList(text: string): string[] {
  const values: string[] = [];
  for (const [, quoted, plain] of text.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^,]*))\s*(?:,|$)/g)) {
    const value = quoted?.replaceAll('""', '"') ?? plain?.trim() ?? "";
    if (value !== "") values.push(value);
  }
  return values;
}
