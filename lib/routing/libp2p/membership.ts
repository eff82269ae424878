/**
 * Lets only members of the cluster onto connections of libp2p: behind the handshake of noise, which proves both
 * identities, each side proves that it knows a secret of the cluster. Who cannot is disconnected before any protocol, the
 * DHT included, hears of it.
 *
 * The one who is called sends a nonce. The caller answers with a nonce of its own and one proof for each of its secrets;
 * the one who is called answers with its proof by the first secret that both have. A proof is an HMAC over the role, both
 * nonces and both identities, so that it is of use neither on another connection nor to somebody in between. The one who
 * is called proves last: who knows no secret gets nothing to try guesses on by calling.
 *
 * docs/transfer-security.md tells why it is done so, and not by libp2p's private networks.
 *
 * @module
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type {
  ConnectionEncrypter,
  MessageStream,
  PeerId,
  SecureConnectionOptions,
  SecuredConnection,
} from "@libp2p/interface";
import { byteStream } from "@libp2p/utils";
import { concatenate } from "../../concatenate.ts";
import { MAX_SECRETS, type MembershipKeys } from "./cluster_secret.ts";

/** Protocol that takes the place of `/noise`. */
export const MEMBERSHIP_PROTOCOL = "/kagami/member/1.0.0";

/** Longest wait for the other side's part, in milliseconds. */
export const MEMBERSHIP_TIMEOUT_MS = 5000;

/** Bytes of a nonce, and of a proof. */
const NONCE_BYTES = 32;
const PROOF_BYTES = 32;

type Role = "caller" | "called";

/** What a proof is about. */
interface Transcript {
  readonly caller: PeerId;
  readonly called: PeerId;
  readonly callerNonce: Uint8Array;
  readonly calledNonce: Uint8Array;
}

/** What is needed of libp2p. */
export interface MembershipComponents {
  readonly peerId: PeerId;
}

/** Options of {@linkcode members}. */
export interface MembershipOptions<Components> {
  /** Encrypts, and proves the identities. */
  readonly encrypter: (components: Components) => ConnectionEncrypter;
  readonly keys: MembershipKeys;
  /** Told of those that called and are no members. */
  readonly onStranger?: (peer: PeerId) => void;
}

/**
 * Makes an encrypter for libp2p.
 *
 * @param options Encrypter and keys.
 * @returns An encrypter that lets only members pass.
 */
export function members<Components extends MembershipComponents>(
  { encrypter, keys, onStranger }: MembershipOptions<Components>,
): (components: Components) => ConnectionEncrypter {
  return (components) => {
    const inner = encrypter(components);
    return {
      protocol: MEMBERSHIP_PROTOCOL,
      async secureOutbound(connection, options) {
        const secured = await inner.secureOutbound(connection, options);
        return await provedOr(secured, options, async (stream, signal) => {
          await call(stream, { keys, self: components.peerId, peer: secured.remotePeer, signal });
        });
      },
      async secureInbound(connection, options) {
        const secured = await inner.secureInbound(connection, options);
        return await provedOr(secured, options, async (stream, signal) => {
          try {
            await answer(stream, {
              keys,
              self: components.peerId,
              peer: secured.remotePeer,
              signal,
            });
          } catch (error) {
            if (error instanceof NotAMemberError) onStranger?.(secured.remotePeer);
            throw error;
          }
        });
      },
    };
  };
}

/** The other side knows no secret of the cluster. */
export class NotAMemberError extends Error {
  override readonly name = "NotAMemberError";
}

type Bytes = ReturnType<typeof byteStream<MessageStream>>;

async function provedOr<Extension>(
  secured: SecuredConnection<Extension>,
  options: SecureConnectionOptions | undefined,
  prove: (stream: Bytes, signal: AbortSignal) => Promise<void>,
): Promise<SecuredConnection<Extension>> {
  const timeout = AbortSignal.timeout(MEMBERSHIP_TIMEOUT_MS);
  const signal = options?.signal === undefined
    ? timeout
    : AbortSignal.any([options.signal, timeout]);
  const stream = byteStream(secured.connection);
  try {
    await prove(stream, signal);
  } catch (error) {
    secured.connection.abort(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
  return { ...secured, connection: stream.unwrap() };
}

interface Side {
  readonly keys: MembershipKeys;
  readonly self: PeerId;
  readonly peer: PeerId;
  readonly signal: AbortSignal;
}

async function call(stream: Bytes, { keys, self, peer, signal }: Side): Promise<void> {
  const calledNonce = await read(stream, NONCE_BYTES, signal);
  const callerNonce = new Uint8Array(randomBytes(NONCE_BYTES));
  const transcript = { caller: self, called: peer, callerNonce, calledNonce };
  const proofs = keys.map((key) => proof(key, "caller", transcript));
  await stream.write(concatenate([callerNonce, Uint8Array.of(proofs.length), ...proofs]), {
    signal,
  });
  const theirs = await read(stream, PROOF_BYTES, signal);
  const isMember = keys.some((key) => timingSafeEqual(theirs, proof(key, "called", transcript)));
  if (!isMember) throw new NotAMemberError(`${peer} is no member of this cluster`);
}

async function answer(stream: Bytes, { keys, self, peer, signal }: Side): Promise<void> {
  const calledNonce = new Uint8Array(randomBytes(NONCE_BYTES));
  await stream.write(calledNonce, { signal });
  const callerNonce = await read(stream, NONCE_BYTES, signal);
  const count = (await read(stream, 1, signal))[0]!;
  if (count === 0 || count > MAX_SECRETS) {
    throw new NotAMemberError(`${peer} offers ${count} proofs`);
  }
  const theirs = await read(stream, count * PROOF_BYTES, signal);
  const transcript = { caller: peer, called: self, callerNonce, calledNonce };
  const key = keys.find((key) => {
    const wanted = proof(key, "caller", transcript);
    return proofsOf(theirs).some((one) => timingSafeEqual(one, wanted));
  });
  if (key === undefined) throw new NotAMemberError(`${peer} is no member of this cluster`);
  await stream.write(proof(key, "called", transcript), { signal });
}

function proofsOf(bytes: Uint8Array): Uint8Array[] {
  return Array.from(
    { length: bytes.length / PROOF_BYTES },
    (_, index) => bytes.subarray(index * PROOF_BYTES, (index + 1) * PROOF_BYTES),
  );
}

async function read(stream: Bytes, bytes: number, signal: AbortSignal): Promise<Uint8Array> {
  return (await stream.read({ bytes, signal })).subarray();
}

function proof(key: Uint8Array, role: Role, transcript: Transcript): Uint8Array {
  const hmac = createHmac("sha256", key).update(`${role}\0`);
  hmac.update(transcript.callerNonce).update(transcript.calledNonce);
  for (const peer of [transcript.caller, transcript.called]) {
    const { bytes } = peer.toMultihash();
    // Lengths keep the end of one identity and the beginning of the next apart.
    hmac.update(Uint8Array.of(bytes.length)).update(bytes);
  }
  return new Uint8Array(hmac.digest());
}
