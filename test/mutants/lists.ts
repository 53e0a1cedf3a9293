import type { Bug } from "./bug.ts";
import { CORE } from "./bugs/core.ts";
import { DRIVER } from "./bugs/driver.ts";
import { LOG } from "./bugs/log.ts";
import { LOG_RECORDS } from "./bugs/log-records.ts";
import { MISREAD } from "./bugs/misread.ts";
import { REQUIRED } from "./bugs/required.ts";
import { SESSIONS } from "./bugs/sessions.ts";
import { STATE } from "./bugs/state.ts";
import { STREAMS } from "./bugs/streams.ts";
import { TRANSPORT } from "./bugs/transport.ts";

/** Bugs beyond the required ones, in the parts that were written for roadstead alone. */
export const FURTHER: readonly Bug[] = [
  ...CORE,
  ...LOG,
  ...STATE,
  ...DRIVER,
  ...TRANSPORT,
  ...LOG_RECORDS,
  ...SESSIONS,
  ...STREAMS,
  ...MISREAD,
];

export const ALL: readonly Bug[] = [...REQUIRED, ...FURTHER];
