import type { Caller, Registry } from "../registry/registry.ts";
import type { HttpLimits } from "./limits.ts";

/** What every handler stands on. */
export interface Door {
  readonly registry: Registry;
  readonly limits: HttpLimits;
}

/** Until there are users. */
export const ANONYMOUS: Caller = { principal: "anonymous" };
