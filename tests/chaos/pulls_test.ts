import assert from "node:assert/strict";
import { Outages } from "./outages.ts";
import { Pulls } from "./pulls.ts";

const failed = { node: 1, reference: "a/b:1", failure: "unexpected EOF" };

Deno.test("a failed pull is excused only by an outage of its own node at that time", () => {
  const outages = new Outages();
  const end = outages.begin(1, 1000);
  end(2000);
  const pulls = new Pulls(outages);
  assert.equal(pulls.add({ ...failed, from: 1500, to: 1600 }), "excused");
  assert.equal(pulls.add({ ...failed, from: 500, to: 1000 }), "excused");
  assert.equal(pulls.add({ ...failed, from: 2000, to: 3000 }), "excused");
  assert.equal(pulls.add({ ...failed, from: 2001, to: 3000 }), "violation");
  assert.equal(pulls.add({ ...failed, from: 0, to: 999 }), "violation");
  assert.equal(pulls.add({ ...failed, node: 2, from: 1500, to: 1600 }), "violation");
  assert.deepEqual(pulls.counts, { succeeded: 0, excused: 3, violation: 3 });
  assert.deepEqual(pulls.violations.map(({ from }) => from), [2001, 0, 1500]);
});

Deno.test("an outage that has not ended excuses all that comes", () => {
  const outages = new Outages();
  outages.begin(1, 1000);
  assert.equal(new Pulls(outages).add({ ...failed, from: 9000, to: 9001 }), "excused");
});

Deno.test("a failure of containerd's own making, after it got all content, is excused", () => {
  const failure = 'failed to prepare extraction snapshot "extract-1 sha256:a": failed to rename: ' +
    "rename /root/snapshots/new-4 /root/snapshots/174: file exists";
  const pulls = new Pulls(new Outages());
  assert.equal(pulls.add({ ...failed, failure, from: 0, to: 1 }), "excused");
});

Deno.test("a pull that succeeds counts as that, in an outage, too", () => {
  const outages = new Outages();
  outages.begin(1, 0);
  const pulls = new Pulls(outages);
  assert.equal(pulls.add({ node: 1, reference: "a/b:1", from: 10, to: 30 }), "succeeded");
  assert.deepEqual(pulls.milliseconds, [20]);
});
