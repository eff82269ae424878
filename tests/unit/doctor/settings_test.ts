import assert from "node:assert/strict";
import { parseCommand } from "../../../lib/config/config.ts";
import type { NodeSettings } from "../../../lib/debug/node_status.ts";
import { type AdoptedSettings, adoptSettings } from "../../../lib/doctor/settings.ts";

const MIRROR: NodeSettings = {
  store: "containerd",
  registryPort: 30_000,
  containerdSock: "/run/k3s/containerd/containerd.sock",
  containerdNamespace: "k8s.io",
  containerdContentPath: "/content",
  dataDir: "/data",
  mirroredRegistries: ["docker.io"],
  registryFilters: [":latest$"],
  defaultRegistry: "docker.io",
};

function adopt(args: string[], mirror?: NodeSettings): AdoptedSettings {
  const command = parseCommand(["doctor", ...args], {});
  assert.equal(command.name, "doctor");
  return adoptSettings(command.config.settings, command.config.given, mirror);
}

Deno.test("adoptSettings() takes from the mirror what was not given", () => {
  const { settings, differences } = adopt([], MIRROR);
  assert.deepEqual(differences, []);
  assert.equal(settings.containerdSock, MIRROR.containerdSock);
  assert.equal(settings.dataDir, "/data");
  assert.deepEqual(settings.registryAddr, { host: undefined, port: 30_000 });
  assert.deepEqual(settings.mirroredRegistries, ["docker.io"]);
  assert.deepEqual(settings.registryFilters, [":latest$"]);
});

Deno.test("adoptSettings() keeps what was given, and tells the difference", () => {
  const args = ["--containerd-sock=/a.sock", "--registry-addr=:5000", "--data-dir=/data"];
  const { settings, differences } = adopt(args, MIRROR);
  assert.equal(settings.containerdSock, "/a.sock");
  assert.deepEqual(differences, [
    `--containerd-sock is /a.sock, the mirror has ${MIRROR.containerdSock}`,
    "--registry-addr is :5000, the mirror has :30000",
  ]);
});

Deno.test("adoptSettings() stays with the defaults where the mirror does not tell", () => {
  const { settings, differences } = adopt([]);
  assert.deepEqual(differences, []);
  assert.equal(settings.containerdSock, "/run/containerd/containerd.sock");
  assert.equal(settings.dataDir, undefined);
});
