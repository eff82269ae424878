/**
 * How the inputs are shared among the checks: the cheap ones and those that read what strangers send get more.
 *
 * @module
 */

/** Parts of all inputs, by what holds for them. */
export const SHARES = {
  "a digest is refused by its error, or safe in a path": 60,
  "a reference is refused by its error, or written as it was read": 100,
  "a request's target is refused by its error, or asks a peer for the same": 110,
  "a Range header is ignored, refused by its error, or lies within the content": 60,
  "a manifest is none, or all of it that is taken is right": 80,
  "a list of chunks is refused, or is one of the content": 30,
  "a value is not allowed, or one that can be used": 50,
  "an expression is none of Go, or one that matches or not": 35,
  "an existing hosts.toml is refused by its error, or kept behind the mirrors": 45,
  "a DHT message is refused by its error, or read as it is written": 100,
  "an announcement is refused by its error, or noted with few addresses that can be used": 40,
  "an odd address in an announcement does not spoil the others": 40,
  "what a node tells of itself is nothing, or of the right kinds": 25,
  "the name of a record is of no key, or the key's own; the store takes any name": 35,
  "addresses in a Lease are left out, or such that can be dialled": 35,
  "an answer of the bootstrap over HTTP is refused by its error, or has addresses that can be dialled":
    15,
  "a peer's head is refused by its error, or taken as it is": 95,
  "a peer's response is refused by its error, or ends where it said": 15,
  "an offer of a transfer is none, or one that can be used and trusts one certificate": 20,
  "a token is refused, or one that was given": 25,
  "a rule for clients is not allowed, or one that can be asked": 20,
  "who does not prove that it is a member is refused": 2,
  "a server answers or closes whatever comes, and goes on": 30,
} as const;

/** Sum of all parts. */
export const ALL_SHARES: number = Object.values(SHARES).reduce((sum, share) => sum + share, 0);
