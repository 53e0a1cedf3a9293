import type { Digest } from "../core/digest.ts";
import type { Refusal } from "./commands.ts";

/** What a guard answers; `apply` adds the index and makes it an outcome. */
export interface Decision {
  readonly refused?: Refusal;
  readonly digest?: Digest;
  readonly value?: number;
}

export const ACCEPTED: Decision = {};

export function refuse(refused: Refusal, digest?: Digest): Decision {
  return digest === undefined ? { refused } : { refused, digest };
}
