import assert from "node:assert/strict";
import { basicAuthorization, isAuthorized } from "../../../lib/registry/basic_auth.ts";

const CREDENTIALS = { username: "Aladdin", password: "open sesame" };
const HEADER = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";

Deno.test("basicAuthorization() is the header of RFC 7617's example", () => {
  assert.equal(basicAuthorization(CREDENTIALS), HEADER);
});

Deno.test("basicAuthorization() encodes text beyond ASCII as UTF-8", () => {
  const header = basicAuthorization({ username: "test", password: "123£" });
  assert.equal(header, "Basic dGVzdDoxMjPCow==");
});

Deno.test("isAuthorized() accepts the credentials, whatever the case of the scheme", () => {
  for (const header of [HEADER, HEADER.replace("Basic", "bAsIc"), `${HEADER}  `]) {
    assert.equal(isAuthorized(header, CREDENTIALS), true, header);
  }
  assert.equal(isAuthorized(HEADER.replace(" ", "   "), CREDENTIALS), true);
});

const REFUSED: Readonly<Record<string, string | undefined>> = {
  "no header": undefined,
  "an empty header": "",
  "the scheme alone": "Basic",
  "another scheme": HEADER.replace("Basic", "Bearer"),
  "another password": basicAuthorization({ ...CREDENTIALS, password: "open" }),
  "another user": basicAuthorization({ ...CREDENTIALS, username: "aladdin" }),
  "empty credentials": basicAuthorization({ username: "", password: "" }),
  "the beginning of the right credentials": HEADER.slice(0, -4),
  "more than the right credentials": `${HEADER}QQ==`,
  "several credentials": `${HEADER}, ${HEADER}`,
  "credentials that are not encoded": "Basic Aladdin:open sesame",
  "a line break within": HEADER.replace("QWxh", "QWxh\r\n"),
};
for (const [what, header] of Object.entries(REFUSED)) {
  Deno.test(`isAuthorized() refuses ${what}`, () => {
    assert.equal(isAuthorized(header, CREDENTIALS), false);
  });
}
