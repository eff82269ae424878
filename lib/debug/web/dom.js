// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Changes the document. Whatever comes from the node becomes text and nothing else: image names, versions and errors are
 * written by others.
 *
 * @module
 */

/**
 * What stands in a cell: text, or a bar that shows how much of something there is.
 *
 * @typedef {{
 *   text: string,
 *   title?: string,
 *   kind?: "number" | "code" | "good" | "bad" | "quiet",
 *   progress?: { value: number, max: number, label: string },
 * }} Cell
 */

/**
 * @typedef {{ key: string, cells: readonly (Cell | string)[] }} Row
 */

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no element ${id}`);
  return element;
}

/**
 * Sets a text, if it is another one: what is selected or being read aloud stays as it is.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {string} name
 * @param {Readonly<Record<string, string | number>>} attributes
 * @returns {SVGElement}
 */
export function svg(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

/**
 * Makes the children of an element match items: those with the same key stay and change, so that focus, selection and
 * place are kept.
 *
 * @template T
 * @param {Element} parent
 * @param {readonly T[]} items
 * @param {(item: T) => string} keyOf
 * @param {() => HTMLElement} create
 * @param {(element: HTMLElement, item: T) => void} update
 */
export function syncChildren(parent, items, keyOf, create, update) {
  /** @type {Map<string, HTMLElement>} */
  const old = new Map();
  for (const child of parent.children) {
    if (child instanceof HTMLElement) old.set(child.dataset["key"] ?? "", child);
  }
  /** @type {Element | null} */
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const element = old.get(key) ?? create();
    old.delete(key);
    element.dataset["key"] = key;
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const element of old.values()) element.remove();
}

/**
 * Fills the body of a table; the first cell of a row is its header.
 *
 * @param {string} id Of the body.
 * @param {readonly Row[]} rows
 * @param {string} none What is said when there are no rows.
 */
export function setRows(id, rows, none) {
  const body = byId(id);
  const columns = body.parentElement?.querySelectorAll("thead th").length ?? 1;
  const shown = rows.length > 0 ? rows : [{ key: "", cells: [{ text: none, kind: "quiet" }] }];
  syncChildren(
    body,
    /** @type {readonly Row[]} */ (shown),
    ({ key }) => key,
    () => document.createElement("tr"),
    (tr, { cells }) => {
      cells.forEach((cell, index) =>
        setCell(tr, index, typeof cell === "string" ? { text: cell } : cell)
      );
      if (rows.length === 0) tr.children[0]?.setAttribute("colspan", String(columns));
    },
  );
}

/**
 * @param {HTMLElement} tr
 * @param {number} index
 * @param {Cell} cell
 */
function setCell(tr, index, cell) {
  const isHeader = index === 0 && cell.kind !== "quiet";
  let element = tr.children[index];
  if (element === undefined) {
    element = document.createElement(isHeader ? "th" : "td");
    if (isHeader) element.setAttribute("scope", "row");
    tr.append(element);
  }
  element.className = cell.kind ?? "";
  if (cell.title === undefined) element.removeAttribute("title");
  else element.setAttribute("title", cell.title);
  if (cell.progress === undefined) return setText(element, cell.text);
  setProgress(element, cell.progress, cell.text);
}

/**
 * @param {Element} element
 * @param {{ value: number, max: number, label: string }} progress
 * @param {string} text
 */
function setProgress(element, { value, max, label }, text) {
  let bar = element.querySelector("progress");
  if (bar === null) {
    bar = document.createElement("progress");
    element.replaceChildren(bar, document.createElement("span"));
  }
  bar.max = Math.max(1, max);
  bar.value = Math.min(value, bar.max);
  bar.setAttribute("aria-label", label);
  const span = element.querySelector("span");
  if (span !== null) setText(span, text);
}
