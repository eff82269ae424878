/**
 * Is containerd there, and set so that a mirror is of use?
 *
 * @module
 */
import type { Check } from "../check.ts";
import { type Finding, reporter } from "../finding.ts";

const containerd = reporter("containerd");

/** Whether containerd answers. */
export const containerdCheck: Check = {
  name: "containerd",
  async run({ settings, containerd: facts }) {
    if (settings.store !== "containerd") return [];
    const { containerdSock: sock } = settings;
    if (!(facts instanceof Error)) return [containerd.ok(`${facts.version} at ${sock}`)];
    try {
      const info = await Deno.stat(sock);
      if (!info.isSocket) return [containerd.found("containerd-no-socket", `${sock} is no socket`)];
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) {
        return [containerd.found("containerd-no-socket", `there is no ${sock}`)];
      }
      return [containerd.found("containerd-denied", `${sock} cannot be reached`)];
    }
    const isDenied = /EACCES|permission denied/i.test(facts.message);
    return [containerd.found(isDenied ? "containerd-denied" : "containerd-silent", facts.message)];
  },
};

const configPath = reporter("config-path");

/** Whether containerd looks for mirrors where they are written. */
export const configPathCheck: Check = {
  name: "config-path",
  run({ settings, containerd: facts, configPath: ours, mirror }) {
    const result = (finding: Finding) => Promise.resolve([finding]);
    if (settings.store !== "containerd" || facts instanceof Error) return Promise.resolve([]);
    const { lacksConfigPath, hasConfigPathList, configPath: told } = facts.settings;
    if (lacksConfigPath) {
      return result(configPath.found("config-path-unset", "containerd has no config_path"));
    }
    if (hasConfigPathList) {
      return result(configPath.found("config-path-list", `config_path is the list ${told}`));
    }
    if (told !== undefined) {
      const isOurs = told.split(":").some((path) => normalized(path) === normalized(ours));
      if (isOurs) return result(configPath.ok(`containerd looks for mirrors in ${told}`));
      const what = `containerd looks for mirrors in ${told}, not in ${ours}`;
      return result(configPath.found("config-path-elsewhere", what));
    }
    const asked = mirror.kind === "told" ? mirror.status.containerdRequests : 0;
    if (asked > 0) {
      return result(configPath.ok(`containerd has asked this mirror ${asked} times`));
    }
    const what = `containerd ${facts.version} does not tell its config_path`;
    return result(configPath.found("config-path-untold", what));
  },
};

function normalized(path: string): string {
  return path.replace(/\/+/g, "/").replace(/(.)\/$/, "$1");
}

const layers = reporter("layers");

/** Whether containerd keeps layers. */
export const layersCheck: Check = {
  name: "layers",
  run({ settings, containerd: facts }) {
    if (settings.store !== "containerd" || facts instanceof Error) return Promise.resolve([]);
    const { discardsLayers, lacksLayers } = facts.settings;
    const finding = discardsLayers
      ? layers.found("layers-discarded", "discard_unpacked_layers is true")
      : lacksLayers
      ? layers.found("layers-missing", "there are images without their layers")
      : layers.ok(
        discardsLayers === undefined
          ? "all images have their layers"
          : "discard_unpacked_layers is false",
      );
    return Promise.resolve([finding]);
  },
};
