/**
 * Parts of generated Markdown pages.
 *
 * @module
 */

/**
 * Lays out a table.
 *
 * @param head Titles of the columns.
 * @param rows Cells.
 * @returns Markdown.
 */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const escaped = rows.map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const all = [head, ...escaped];
  const widths = head.map((_, column) =>
    Math.max(...all.map((row) => [...row[column] ?? ""].length))
  );
  const line = (row: readonly string[]) =>
    `| ${
      row.map((cell, column) => cell + " ".repeat(widths[column]! - [...cell].length)).join(" | ")
    } |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(head), rule, ...escaped.map(line)].join("\n");
}

/**
 * Marks code.
 *
 * @param text Any text.
 * @returns Markdown; nothing for nothing.
 */
export function code(text: string): string {
  return text === "" ? "" : `\`${text}\``;
}
