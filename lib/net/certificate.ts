/**
 * A self-signed certificate for TLS. `node:crypto` makes keys and signatures but no certificates; the few fields that
 * are needed are written here as DER.
 *
 * @see RFC 5280
 * @module
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { concatenate } from "../concatenate.ts";

/** A certificate with its key, both as PEM. */
export interface CertificateWithKey {
  readonly certificate: string;
  readonly key: string;
}

/**
 * Name in the certificates of all nodes. They are told apart by their certificates, not by names; no public authority
 * may issue anything for `.invalid` (RFC 2606).
 */
export const PEER_NAME = "peer.kagami.invalid";

/** Times between which a certificate is valid. */
export interface Validity {
  readonly from: Date;
  readonly to: Date;
}

/**
 * For ever: the ends that RFC 5280, 4.1.2.5 has for that. A certificate that lives as long as its process and is trusted
 * only by those who were given it needs no other end, and a clock that is wrong does no harm.
 */
const FOR_EVER: Validity = {
  from: new Date("1970-01-01T00:00:00Z"),
  to: new Date("9999-12-31T23:59:59Z"),
};

const TAGS = { integer: 2, bits: 3, octets: 4, oid: 6, utf8: 12, utcTime: 23, time: 24 } as const;
const SEQUENCE = 0x30;
const SET = 0x31;
/** Tag `[0]` of the version and `[3]` of the extensions; `[2]` of a DNS name. */
const [VERSION_FIELD, EXTENSIONS_FIELD, DNS_NAME] = [0xa0, 0xa3, 0x82];

/** Bodies of object identifiers. */
const OIDS = {
  /** 1.2.840.10045.4.3.2 */
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
  /** 2.5.4.3 */
  commonName: [0x55, 0x04, 0x03],
  /** 2.5.29.17 */
  subjectAltName: [0x55, 0x1d, 0x11],
} as const;

/** 1950 to 2049 are written with two digits of the year. */
const LAST_UTC_YEAR = 2049;

const encoder = new TextEncoder();

/**
 * Makes a certificate for a new ECDSA key on P-256.
 *
 * @param name DNS name that it is for. Default: {@linkcode PEER_NAME}.
 * @param validity When it is valid. Default: for ever.
 * @returns Certificate and key.
 *
 * @example
 * ```ts
 * const { certificate, key } = createCertificate();
 * ```
 */
export function createCertificate(
  name: string = PEER_NAME,
  validity: Validity = FOR_EVER,
): CertificateWithKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(der(TAGS.oid, OIDS.ecdsaWithSha256));
  const distinguishedName = sequence(
    der(SET, sequence(der(TAGS.oid, OIDS.commonName), der(TAGS.utf8, encoder.encode(name)))),
  );
  const alternative = sequence(der(DNS_NAME, encoder.encode(name)));
  const body = sequence(
    der(VERSION_FIELD, der(TAGS.integer, [2])),
    der(TAGS.integer, serialNumber()),
    algorithm,
    distinguishedName,
    sequence(time(validity.from), time(validity.to)),
    distinguishedName,
    publicKey.export({ type: "spki", format: "der" }),
    der(
      EXTENSIONS_FIELD,
      sequence(
        sequence(der(TAGS.oid, OIDS.subjectAltName), der(TAGS.octets, alternative)),
      ),
    ),
  );
  const signature = sign("sha256", body, privateKey);
  const certificate = sequence(
    body,
    algorithm,
    der(TAGS.bits, concatenate([Uint8Array.of(0), signature])),
  );
  return {
    certificate: toPem(certificate),
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

/** Positive, and not to be guessed. */
function serialNumber(): Uint8Array {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes;
}

function time(date: Date): Uint8Array {
  const digits = date.toISOString().replace(/\.[0-9]+Z$/, "Z").replace(/[^0-9Z]/g, "");
  return date.getUTCFullYear() > LAST_UTC_YEAR
    ? der(TAGS.time, encoder.encode(digits))
    : der(TAGS.utcTime, encoder.encode(digits.slice(2)));
}

function sequence(...parts: Uint8Array[]): Uint8Array {
  return der(SEQUENCE, concatenate(parts));
}

function der(tag: number, body: Uint8Array | readonly number[]): Uint8Array {
  return concatenate([Uint8Array.of(tag, ...lengthOf(body.length)), Uint8Array.from(body)]);
}

function lengthOf(length: number): number[] {
  if (length < 0x80) return [length];
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
}

function toPem(certificate: Uint8Array): string {
  const lines = certificate.toBase64().match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}
