import assert from "node:assert/strict";
import { parseImagesPlugin } from "../../../../lib/store/containerd/preflight.ts";

const FOLDER = "/etc/containerd/certs.d";

for (
  const [what, told, expected] of [
    ["nothing up to containerd 2.3", {}, {}],
    [
      "that all is well",
      { DiscardUnpackedLayers: "false", RegistryConfigPath: FOLDER },
      {
        discardsLayers: false,
        configPath: FOLDER,
        lacksConfigPath: false,
        hasConfigPathList: false,
      },
    ],
    [
      "a list of folders, of which a pull finds none",
      { DiscardUnpackedLayers: "false", RegistryConfigPath: `${FOLDER}:/etc/docker/certs.d` },
      {
        discardsLayers: false,
        configPath: `${FOLDER}:/etc/docker/certs.d`,
        lacksConfigPath: false,
        hasConfigPathList: true,
      },
    ],
    [
      "discarded layers, with which a list does no harm",
      { DiscardUnpackedLayers: "true", RegistryConfigPath: `${FOLDER}:/etc/docker/certs.d` },
      {
        discardsLayers: true,
        configPath: `${FOLDER}:/etc/docker/certs.d`,
        lacksConfigPath: false,
        hasConfigPathList: false,
      },
    ],
    [
      "that there is no folder",
      { DiscardUnpackedLayers: "false", RegistryConfigPath: "" },
      { discardsLayers: false, configPath: "", lacksConfigPath: true, hasConfigPathList: false },
    ],
  ] as const
) {
  Deno.test(`the images plugin tells ${what}`, () => {
    assert.deepEqual(parseImagesPlugin(told), expected);
  });
}
