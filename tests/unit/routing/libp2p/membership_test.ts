import assert from "node:assert/strict";
import { noise, type NoiseComponents } from "@libp2p/noise";
import type { ConnectionEncrypter, SecuredConnection } from "@libp2p/interface";
import { byteStream } from "@libp2p/utils";
import { membershipKey } from "../../../../lib/routing/libp2p/cluster_secret.ts";
import { members, MEMBERSHIP_PROTOCOL } from "../../../../lib/routing/libp2p/membership.ts";
import { StaticBootstrapper } from "../../../../lib/routing/bootstrap/static.ts";
import { eventually } from "../../support/eventually.ts";
import { type BareNode, startBareNode } from "../../support/libp2p_node.ts";
import { Libp2pCluster, startNode } from "../../support/router_cluster.ts";

const [OLD, NEW, OTHER] = ["old", "new", "other"].map((name) => membershipKey(name.repeat(16)));

type Encrypter = (components: NoiseComponents) => ConnectionEncrypter;

function start(encrypter: Encrypter): Promise<BareNode> {
  return startBareNode(() => {}, undefined, undefined, encrypter);
}

function member(keys: readonly Uint8Array[], strangers: string[] = []): Encrypter {
  return members({
    encrypter: noise(),
    keys,
    onStranger: (peer) => strangers.push(peer.toString()),
  });
}

/** Dials, and says whether both sides are connected. */
async function connects(caller: BareNode, called: BareNode): Promise<boolean> {
  try {
    await caller.node.dial(called.node.getMultiaddrs(), { signal: AbortSignal.timeout(20_000) });
  } catch {
    return false;
  }
  await eventually("the other side is connected, too", () => called.node.getPeers().length === 1);
  return true;
}

const MATCHES: readonly [
  string,
  (Uint8Array | undefined)[],
  (Uint8Array | undefined)[],
  boolean,
][] = [
  ["with the same secret", [OLD], [OLD], true],
  ["with other secrets", [OLD], [OTHER], false],
  ["when the caller has the old secret and the other both", [OLD], [NEW, OLD], true],
  ["when the caller has both secrets and the other the old one", [NEW, OLD], [OLD], true],
  ["when the caller has both secrets and the other the new one", [NEW, OLD], [NEW], true],
  ["when one has only the old secret and the other only the new one", [OLD], [NEW], false],
];

for (const [when, callerKeys, calledKeys, isMember] of MATCHES) {
  Deno.test(`members() ${isMember ? "connects" : "refuses"} nodes ${when}`, async () => {
    const strangers: string[] = [];
    await using caller = await start(member(callerKeys as Uint8Array[]));
    await using called = await start(member(calledKeys as Uint8Array[], strangers));
    assert.equal(await connects(caller, called), isMember);
    assert.deepEqual(strangers, isMember ? [] : [caller.id]);
    assert.equal(called.node.getPeers().length, isMember ? 1 : 0);
  });
}

Deno.test("members() lets no node in that has no secret, and calls none", async () => {
  await using stranger = await start(noise());
  await using called = await start(member([OLD!]));
  assert.equal(await connects(stranger, called), false);
  assert.equal(await connects(called, stranger), false);
});

type Speak = (stream: ReturnType<typeof byteStream>) => Promise<void>;

/** Speaks the protocol, but says what a test has it say. */
function liar(
  { calling, called }: { readonly calling?: Speak; readonly called?: Speak },
): Encrypter {
  return (components) => {
    const inner = noise()(components);
    const speaking = async (secured: SecuredConnection, speak: Speak | undefined) => {
      const stream = byteStream(secured.connection);
      await speak?.(stream);
      return { ...secured, connection: stream.unwrap() };
    };
    return {
      protocol: MEMBERSHIP_PROTOCOL,
      secureOutbound: async (connection, options) =>
        await speaking(await inner.secureOutbound(connection, options), calling),
      secureInbound: async (connection, options) =>
        await speaking(await inner.secureInbound(connection, options), called),
    };
  };
}

async function take(stream: ReturnType<typeof byteStream>, bytes: number): Promise<Uint8Array> {
  return (await stream.read({ bytes })).subarray();
}

/** Dials; the one who lies may believe that it is connected. */
async function call(caller: BareNode, called: BareNode): Promise<void> {
  await caller.node.dial(called.node.getMultiaddrs()).catch(() => {});
}

const LIES: Readonly<Record<string, (nonce: Uint8Array) => Uint8Array>> = {
  "no proof": () => Uint8Array.of(...new Uint8Array(32), 0),
  "too many proofs": () => Uint8Array.of(...new Uint8Array(32), 255),
  "a proof of zeros": () => Uint8Array.of(...new Uint8Array(32), 1, ...new Uint8Array(32)),
  "the nonce as proof": (nonce) => Uint8Array.of(...nonce, 1, ...nonce),
};

for (const [what, lie] of Object.entries(LIES)) {
  Deno.test(`members() refuses a caller that offers ${what}`, async () => {
    const strangers: string[] = [];
    await using caller = await start(
      liar({ calling: async (stream) => await stream.write(lie(await take(stream, 32))) }),
    );
    await using called = await start(member([OLD!], strangers));
    await call(caller, called);
    await eventually("the caller is found out", () => strangers.length === 1);
    assert.equal(called.node.getPeers().length, 0);
  });
}

Deno.test("members() does not take its own proof back from the one it calls", async () => {
  await using echo = await start(liar({
    called: async (stream) => {
      await stream.write(new Uint8Array(32));
      const proof = (await take(stream, 65)).slice(33);
      await stream.write(proof);
    },
  }));
  await using caller = await start(member([OLD!]));
  assert.equal(await connects(caller, echo), false);
});

Deno.test("members() refuses somebody in between who passes on what two members say", async () => {
  const nonce = Promise.withResolvers<Uint8Array>();
  const proof = Promise.withResolvers<Uint8Array>();
  const strangers: string[] = [];
  await using between = await start(liar({
    calling: async (stream) => {
      nonce.resolve((await take(stream, 32)).slice());
      await stream.write(await proof.promise);
    },
    called: async (stream) => {
      await stream.write(await nonce.promise);
      proof.resolve((await take(stream, 65)).slice());
    },
  }));
  await using caller = await start(member([OLD!]));
  await using called = await start(member([OLD!], strangers));
  await Promise.all([call(between, called), call(caller, between)]);
  assert.equal((await proof.promise)[32], 1, "the caller has proved that it is a member");
  await eventually("who passes it on is refused", () => strangers.length === 1);
  assert.deepEqual(strangers, [between.id]);
  assert.equal(called.node.getPeers().length, 0);
});

Deno.test("Routers with a secret find content of members, and a node with another secret finds none", async () => {
  await using cluster = await Libp2pCluster.create();
  const secret = { membershipKeys: [OLD!] };
  const first = await cluster.start("first", [], secret);
  const second = await cluster.start("second", first.addresses, secret);
  await first.router.advertise(["sha256:" + "a".repeat(64)]);
  await eventually("the member finds it", async () => {
    for await (const peer of second.router.lookup("sha256:" + "a".repeat(64), { count: 1 })) {
      return peer.id === first.id;
    }
    return false;
  });
  const strangers: string[] = [];
  const guard = await cluster.start("guard", first.addresses, {
    ...secret,
    onStranger: (id) => strangers.push(id),
  });
  for (const keys of [{ membershipKeys: [OTHER!] }, {}]) {
    const foreign = await startNode({
      bootstrapper: new StaticBootstrapper([...guard.addresses, ...first.addresses]),
      ...keys,
    });
    try {
      await eventually(
        "it has tried",
        () => foreign.messages().some((text) => /bootstrap|dial|reach/i.test(text)),
      );
      assert.deepEqual(await foreign.router.peers(), []);
      const found = await Array.fromAsync(foreign.router.lookup("sha256:" + "a".repeat(64)));
      assert.deepEqual(found, []);
    } finally {
      await foreign.router.stop();
    }
  }
  assert(strangers.length > 0);
  assert((await first.router.peers()).every(({ id }) => [second.id, guard.id].includes(id)));
});
