/**
 * All checks, in the order in which they are told.
 *
 * @module
 */
import type { Check } from "../check.ts";
import { certsDirCheck } from "./certs_dir.ts";
import { configPathCheck, containerdCheck, layersCheck } from "./containerd.ts";
import { contentCheck } from "./content.ts";
import { hostsCheck } from "./hosts.ts";
import { identityCheck } from "./identity.ts";
import { metricsCheck, registryCheck, settingsCheck } from "./mirror.ts";
import { peersCheck } from "./peers.ts";
import { roundTripCheck } from "./round_trip.ts";
import { secretCheck, transferCheck } from "./transfer.ts";

/** All checks. */
export const CHECKS: readonly Check[] = [
  registryCheck,
  metricsCheck,
  settingsCheck,
  containerdCheck,
  configPathCheck,
  layersCheck,
  contentCheck,
  certsDirCheck,
  hostsCheck,
  identityCheck,
  peersCheck,
  secretCheck,
  transferCheck,
  roundTripCheck,
];
