/**
 * Many doubly linked lists of numbers, in typed arrays.
 *
 * @module
 */

/** No item. */
export const NONE = -1;

/** An array that is full grows by this factor: with a larger one a quarter of the memory would be unused on average. */
const GROWTH = 1.25;

/**
 * Makes room in a typed array.
 *
 * @param array What there is.
 * @param length Items that are needed.
 * @param fill Value of new items.
 * @returns The array, or a larger one with the same content.
 */
export function grown<T extends Int32Array | Float64Array | Uint8Array>(
  array: T,
  length: number,
  fill = 0,
): T {
  if (length <= array.length) return array;
  const larger = new (array.constructor as new (length: number) => T)(
    Math.max(length, Math.ceil(array.length * GROWTH)),
  );
  larger.set(array);
  return larger.fill(fill, array.length) as T;
}

/**
 * Lists and items are numbers from 0, not much above how many there are. An item is in one list at most. As objects, a
 * hundred thousand of them would cost several times the memory, and time at each garbage collection.
 */
export class LinkedLists {
  #heads = new Int32Array(0);
  #tails = new Int32Array(0);
  #previous = new Int32Array(0);
  #next = new Int32Array(0);

  /** @returns The first item of a list, or {@linkcode NONE}. */
  first(list: number): number {
    return this.#heads[list] ?? NONE;
  }

  /** @returns The item behind an item, or {@linkcode NONE}. */
  next(item: number): number {
    return this.#next[item] ?? NONE;
  }

  /** Puts an item at the end of a list. */
  append(list: number, item: number): void {
    this.#heads = grown(this.#heads, list + 1, NONE);
    this.#tails = grown(this.#tails, list + 1, NONE);
    this.#previous = grown(this.#previous, item + 1, NONE);
    this.#next = grown(this.#next, item + 1, NONE);
    const last = this.#tails[list]!;
    this.#previous[item] = last;
    this.#next[item] = NONE;
    if (last === NONE) this.#heads[list] = item;
    else this.#next[last] = item;
    this.#tails[list] = item;
  }

  /** Takes an item out of its list. */
  remove(list: number, item: number): void {
    const previous = this.#previous[item]!;
    const next = this.#next[item]!;
    if (previous === NONE) this.#heads[list] = next;
    else this.#next[previous] = next;
    if (next === NONE) this.#tails[list] = previous;
    else this.#previous[next] = previous;
  }
}
