import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createCertificate, PEER_NAME } from "../../../lib/net/certificate.ts";

Deno.test("createCertificate() makes a certificate that is signed by its own key, for one name and for ever", () => {
  const { certificate, key } = createCertificate();
  const read = new X509Certificate(certificate);
  assert.equal(read.verify(read.publicKey), true);
  assert.equal(read.checkPrivateKey(createPrivateKey(key)), true);
  assert.equal(read.subjectAltName, `DNS:${PEER_NAME}`);
  assert.equal(read.subject, `CN=${PEER_NAME}`);
  assert.equal(read.issuer, read.subject);
  assert.equal(new Date(read.validFrom).getTime(), 0);
  assert.equal(new Date(read.validTo).getUTCFullYear(), 9999);
});

Deno.test("createCertificate() makes another key and number each time", () => {
  const [one, other] = [createCertificate(), createCertificate()].map(({ certificate }) =>
    new X509Certificate(certificate)
  );
  assert.notEqual(one!.serialNumber, other!.serialNumber);
  assert.equal(one!.verify(other!.publicKey), false);
  assert.match(one!.serialNumber, /^[4-7]/, "positive, without leading zeros");
});

Deno.test("createCertificate() takes other names and times", () => {
  const validity = { from: new Date("2049-12-31T23:59:59Z"), to: new Date("2050-01-01T00:00:00Z") };
  const name = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.invalid`;
  const read = new X509Certificate(createCertificate(name, validity).certificate);
  assert.equal(read.subjectAltName, `DNS:${name}`);
  assert.equal(new Date(read.validFrom).getTime(), validity.from.getTime());
  assert.equal(new Date(read.validTo).getTime(), validity.to.getTime());
});
