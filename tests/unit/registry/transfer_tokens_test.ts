import assert from "node:assert/strict";
import { TOKEN_PERIOD_MS, TransferTokens } from "../../../lib/registry/transfer_tokens.ts";

const PEER = "12D3KooWA";

function tokens(key?: Uint8Array) {
  let now = 0;
  const own = new TransferTokens({ now: () => now, ...(key === undefined ? {} : { key }) });
  return { own, advance: (ms: number) => void (now += ms) };
}

Deno.test("TransferTokens knows its own tokens again, and whom they were given to", () => {
  const { own } = tokens();
  assert.equal(own.peerOf(own.issue(PEER)), PEER);
  assert.equal(own.peerOf(own.issue("other")), "other");
});

Deno.test("TransferTokens takes a token for a period at least, and for two at most", () => {
  const { own, advance } = tokens();
  advance(TOKEN_PERIOD_MS - 1);
  const token = own.issue(PEER);
  advance(TOKEN_PERIOD_MS);
  assert.equal(own.peerOf(token), PEER);
  advance(1);
  assert.equal(own.peerOf(token), undefined);
});

Deno.test("TransferTokens takes no token of another node, or of another life of this one", () => {
  const { own } = tokens();
  assert.equal(own.peerOf(tokens().own.issue(PEER)), undefined);
  const key = new Uint8Array(32);
  assert.equal(tokens(key).own.peerOf(tokens(key).own.issue(PEER)), PEER);
});

Deno.test("TransferTokens takes nothing that was tampered with", () => {
  const { own } = tokens();
  const token = own.issue(PEER);
  const [peer, period, mac] = token.split(".");
  const other = own.issue("other").split(".")[2];
  const bad = [
    undefined,
    "",
    PEER,
    `other.${period}.${mac}`,
    `${peer}.1.${mac}`,
    `${peer}.${period}.${other}`,
    `${peer}.${period}.`,
    `${peer}.${period}.${mac!.slice(0, -2)}`,
    `${peer}.${period}.${"A".repeat(43)}=`,
    `${token} `,
    `${token}.`,
    `${peer}.0${period}.${mac}`,
  ];
  for (const text of bad) assert.equal(own.peerOf(text), undefined, String(text));
  for (let at = 0; at < token.length - 1; at++) {
    const flipped = token[at] === "B" ? "C" : "B";
    const changed = token.slice(0, at) + flipped + token.slice(at + 1);
    assert.equal(own.peerOf(changed), undefined, changed);
  }
});
