import assert from "node:assert/strict";
import { ConfigError } from "../../../../lib/errors.ts";
import {
  loadMembershipKeys,
  MAX_SECRETS,
  membershipKey,
} from "../../../../lib/routing/libp2p/cluster_secret.ts";

const SECRET = "0123456789abcdef0123456789abcdef";
const SECOND = SECRET.toUpperCase();

async function load(text: string): Promise<readonly Uint8Array[]> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, text);
    return await loadMembershipKeys(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("loadMembershipKeys() makes a key of each line", async () => {
  const [one, two] = [membershipKey(SECRET), membershipKey(SECOND)];
  assert.deepEqual(await load(SECRET), [one]);
  assert.deepEqual(await load(` ${SECRET} \r\n\n${SECOND}\n`), [one, two]);
  assert.notDeepEqual(one, two);
  assert.equal(one.length, 32);
});

const BAD: readonly [string, string, RegExp][] = [
  ["nothing", "", /is empty/],
  ["blanks", " \n\n", /is empty/],
  ["a secret that can be guessed", "hunter2hunter2", /secret 1 .*shorter than 32/],
  ["a second one that can be guessed", `${SECRET}\nhunter2`, /secret 2 .*shorter than 32/],
  ["too many", `${SECRET}\n`.repeat(MAX_SECRETS + 1), /has 5 secrets/],
];

for (const [what, text, message] of BAD) {
  Deno.test(`loadMembershipKeys() refuses ${what}, and does not tell the secret`, async () => {
    await assert.rejects(load(text), (error) => {
      assert(error instanceof ConfigError);
      assert.match(error.message, message);
      for (const secret of [SECRET, "hunter2"]) assert(!error.message.includes(secret));
      return true;
    });
  });
}

Deno.test("loadMembershipKeys() names a file that it cannot read", async () => {
  await assert.rejects(loadMembershipKeys("/nowhere/secret"), /cluster secret \/nowhere\/secret/);
});
