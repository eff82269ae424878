/**
 * What goes wrong in a run, and when: made from a seed alone, so that a run can be repeated.
 *
 * @module
 */
import { Random } from "../fuzz/support/random.ts";

/** Parts that a fault puts out of order; two faults never share one at the same time. */
export type Part = "mirror" | "containerd" | "link" | "disk" | "clock" | "blobs";

/** What is known of a kind of fault before it happens. */
export interface FaultTraits {
  /** Parts of its node that it needs to itself. */
  readonly parts: readonly Part[];
  /** Whether the parts of all nodes are needed, and not only of one. */
  readonly isGlobal?: boolean;
  /** Whether others cannot get content from the node meanwhile. */
  readonly isDown?: boolean;
  /** Whether the node itself may fail to pull meanwhile, with or without a mirror. */
  readonly excusesPulls?: boolean;
  /** How often it comes, compared to others. */
  readonly weight: number;
}

/** All kinds of faults. */
export const FAULTS = {
  "mirror killed": { parts: ["mirror"], isDown: true, weight: 3 },
  "mirror stopped in order": { parts: ["mirror"], isDown: true, weight: 2 },
  "mirror paused": { parts: ["mirror"], isDown: true, weight: 3 },
  "containerd killed": {
    parts: ["containerd", "disk"],
    isDown: true,
    excusesPulls: true,
    weight: 3,
  },
  "containerd paused": {
    parts: ["containerd", "disk"],
    isDown: true,
    excusesPulls: true,
    weight: 2,
  },
  "node lost": {
    parts: ["mirror", "containerd", "link", "disk"],
    isDown: true,
    excusesPulls: true,
    weight: 2,
  },
  "link cut": { parts: ["link"], isDown: true, excusesPulls: true, weight: 3 },
  "link slow": { parts: ["link"], weight: 2 },
  "upstream slow": { parts: [], weight: 1 },
  "network split": { parts: ["link"], isGlobal: true, weight: 2 },
  "disk full": { parts: ["containerd", "disk"], excusesPulls: true, weight: 2 },
  "clock stepped": { parts: ["clock"], weight: 3 },
  "blob overwritten": { parts: ["blobs"], weight: 2 },
  "blob decayed": { parts: ["blobs"], weight: 2 },
} as const satisfies Record<string, FaultTraits>;

/** Name of a kind of fault. */
export type FaultKind = keyof typeof FAULTS;

/** All kinds. */
export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[];

/** Something that goes wrong for a while. */
export interface Fault {
  /** Place in the list, from 1. */
  readonly number: number;
  readonly kind: FaultKind;
  /** Number of the node that it happens to, from 1; of no meaning for upstream. */
  readonly node: number;
  /** When it begins, in milliseconds from the start. */
  readonly at: number;
  /** When it is healed. */
  readonly healedAt: number;
  /** For what the kind has to choose: sides of a split, the rate of a link, how far a clock is stepped. */
  readonly choice: number;
}

/** Options of {@linkcode makeSchedule}. */
export interface ScheduleOptions {
  readonly seed: number;
  readonly nodes: number;
  /** How long the run is; all faults are healed by then. */
  readonly durationMs: number;
  /** Kinds that can be brought about on this machine. Default: all. */
  readonly kinds?: readonly FaultKind[];
}

/** Range of the pause from one fault to the next, in milliseconds. */
export const PAUSE_MS = { least: 300, most: 4000 } as const;

/** Range of how long a fault lasts, in milliseconds. */
export const LASTING_MS = { least: 1000, most: 15_000 } as const;

/** Limit of {@linkcode Fault.choice}. */
export const CHOICES = 1 << 20;

/**
 * How many nodes may be down at the same time: fewer than half, so that there is always somebody to pull from.
 *
 * @param nodes Number of nodes.
 * @returns Number of nodes, at least one.
 */
export function mostDown(nodes: number): number {
  return Math.max(1, Math.floor((nodes - 1) / 2));
}

/**
 * Makes the list of a run.
 *
 * @param options What to make.
 * @returns Faults by their beginning. The same options make the same list.
 */
export function makeSchedule(options: ScheduleOptions): Fault[] {
  const { nodes, durationMs, kinds = FAULT_KINDS } = options;
  const random = new Random("chaos", options.seed);
  const faults: Fault[] = [];
  if (kinds.length === 0) return faults;
  const deck = new Deck(random, kinds);
  let at = 0;
  while (true) {
    at += between(random, PAUSE_MS.least, PAUSE_MS.most);
    const lasting = between(random, LASTING_MS.least, LASTING_MS.most);
    if (at + LASTING_MS.least > durationMs) return faults;
    const fault = {
      number: faults.length + 1,
      kind: deck.draw(),
      node: 1 + random.below(nodes),
      at,
      healedAt: Math.min(at + lasting, durationMs),
      choice: random.below(CHOICES),
    };
    const node = freeNode(fault, faults, nodes);
    if (node !== undefined) faults.push({ ...fault, node });
    else deck.putBack(fault.kind);
  }
}

function between(random: Random, least: number, most: number): number {
  return least + random.below(most - least);
}

/** The kinds in random order, each as often as its weight says, so that none is missing in a run of some length. */
class Deck {
  readonly #random: Random;
  readonly #kinds: readonly FaultKind[];
  #cards: FaultKind[] = [];

  constructor(random: Random, kinds: readonly FaultKind[]) {
    this.#random = random;
    this.#kinds = kinds;
  }

  draw(): FaultKind {
    if (this.#cards.length === 0) {
      this.#cards = this.#kinds.flatMap((kind) => Array<FaultKind>(FAULTS[kind].weight).fill(kind));
    }
    return this.#cards.splice(this.#random.below(this.#cards.length), 1)[0]!;
  }

  putBack(kind: FaultKind): void {
    this.#cards.push(kind);
  }
}

/** The node of a fault, or the next one that has room for it. */
function freeNode(fault: Fault, others: readonly Fault[], nodes: number): number | undefined {
  const meanwhile = others.filter((other) => other.healedAt >= fault.at);
  for (let offset = 0; offset < nodes; offset++) {
    const node = 1 + (fault.node - 1 + offset) % nodes;
    if (hasRoom({ ...fault, node }, meanwhile, nodes)) return node;
  }
  return undefined;
}

function hasRoom(fault: Fault, meanwhile: readonly Fault[], nodes: number): boolean {
  if (meanwhile.some((other) => collide(fault, other))) return false;
  if (!traitsOf(fault).isDown) return true;
  const down = new Set(meanwhile.filter((other) => traitsOf(other).isDown).map(({ node }) => node));
  return down.add(fault.node).size <= mostDown(nodes);
}

function collide(one: Fault, two: Fault): boolean {
  // There is one upstream.
  if (one.kind === "upstream slow" && two.kind === "upstream slow") return true;
  const [traits, others] = [traitsOf(one), traitsOf(two)];
  const isSamePlace = one.node === two.node || traits.isGlobal === true || others.isGlobal === true;
  return isSamePlace && traits.parts.some((part) => others.parts.includes(part));
}

/**
 * @param fault A fault.
 * @returns What its kind says of it.
 */
export function traitsOf({ kind }: Pick<Fault, "kind">): FaultTraits {
  return FAULTS[kind];
}

/**
 * Writes a fault for people.
 *
 * @param fault The fault.
 * @returns One line, without a newline.
 */
export function describeFault(fault: Fault): string {
  const { number, at, healedAt, node, kind, choice } = fault;
  const seconds = (ms: number) => (ms / 1000).toFixed(1).padStart(6);
  const where = kind === "upstream slow" ? "upstream" : `node ${node}`;
  return `${String(number).padStart(4)} ${seconds(at)} s – ${
    seconds(healedAt)
  } s  ${where}: ${kind} (${choice})`;
}
