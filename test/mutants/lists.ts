import type { Bug } from "./bug.ts";
import { CORE } from "./bugs/core.ts";
import { DRIVER } from "./bugs/driver.ts";
import { LOG } from "./bugs/log.ts";
import { REQUIRED } from "./bugs/required.ts";
import { STATE } from "./bugs/state.ts";
import { TRANSPORT } from "./bugs/transport.ts";

/** Bugs beyond the required ones, in the parts that were written for roadstead alone. */
export const FURTHER: readonly Bug[] = [...CORE, ...LOG, ...STATE, ...DRIVER, ...TRANSPORT];

export const ALL: readonly Bug[] = [...REQUIRED, ...FURTHER];
