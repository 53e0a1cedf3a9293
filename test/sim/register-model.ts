import type { Model } from "./linearizability/model.ts";

/** A tag as a register: its manifest's number, null where there is no such tag. */
export type TagInput =
  | { readonly type: "read" }
  | { readonly type: "put"; readonly value: number }
  /** If-Match, or If-None-Match where `from` is null. */
  | { readonly type: "cas"; readonly from: number | null; readonly to: number }
  | { readonly type: "delete" };

/** A read answers the number; the others whether they were done. */
export type TagOutput = number | boolean | null;

export const tagModel: Model<number | null, TagInput, TagOutput> = {
  init: null,
  step(state, input, output) {
    switch (input.type) {
      case "read":
        return { ok: output === undefined || output === state, state };
      case "put":
        return { ok: output === undefined || output === true, state: input.value };
      case "cas": {
        const found = state === input.from;
        return { ok: output === undefined || output === found, state: found ? input.to : state };
      }
      case "delete":
        return { ok: output === undefined || output === (state !== null), state: null };
      default:
        return input satisfies never;
    }
  },
  isReadOnly: ({ type }) => type === "read",
  describe(input, output) {
    const answer = output === undefined ? "no answer" : String(output);
    if (input.type === "put") return `put ${input.value} -> ${answer}`;
    return input.type === "cas" ? `cas ${input.from} to ${input.to} -> ${answer}` : `${input.type} -> ${answer}`;
  },
};
