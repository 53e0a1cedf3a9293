import type { Caller, Registry } from "../registry/registry.ts";
import type { HttpLimits } from "./limits.ts";

/** What every handler stands on. */
export interface Door {
  readonly registry: Registry;
  readonly limits: HttpLimits;
  /** False once this node stops: an upload that begins now could not end here. */
  takesUploads(): boolean;
}

/** Until there are users. */
export const ANONYMOUS: Caller = { principal: "anonymous" };
