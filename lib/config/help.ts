/**
 * Texts of `--help`.
 *
 * @module
 */
import { type CommandName, COMMANDS, COMMON_OPTIONS, type Option } from "./options.ts";
import { boolean } from "./value_parsers.ts";

/**
 * @returns Help on the program.
 */
export function programHelp(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) =>
    `  ${name.padEnd(width)}  ${summary}`
  );
  return [
    "Kagami: stateless, cluster-local OCI registry mirror.",
    "",
    "Usage: kagami <command> [options]",
    "",
    "Commands:",
    ...lines,
    "",
    "kagami <command> --help lists the options of a command.",
    "",
  ].join("\n");
}

/**
 * @param name A command.
 * @returns Help on it.
 */
export function commandHelp(name: CommandName): string {
  const { summary, options } = COMMANDS[name];
  const all: Option<unknown>[] = [...Object.values(options), ...Object.values(COMMON_OPTIONS)];
  const positional = all.filter((option) => option.positional)
    .map((option) => ` [${option.flag.toUpperCase()}]`);
  return [
    `Usage: kagami ${name} [options]${positional.join("")}`,
    "",
    summary,
    "",
    "Options, each with its environment variable:",
    ...all.flatMap(optionHelp),
    "",
  ].join("\n");
}

function optionHelp(option: Option<unknown>): string[] {
  const facts = [
    option.env === undefined ? undefined : `env ${option.env}`,
    option.default === "" ? undefined : `default ${option.default}`,
    option.required ? "required" : undefined,
  ].filter((fact) => fact !== undefined);
  const value = "list" in option ? " VALUE…" : " VALUE";
  return [
    `  --${option.flag}${option.parser === boolean ? "[=VALUE]" : value}`,
    `      ${option.help}`,
    `      ${option.parser.allowed}${facts.length === 0 ? "" : ` · ${facts.join(" · ")}`}`,
  ];
}
