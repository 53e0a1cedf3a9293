import type { Model } from "./model.ts";

export type RegisterInput =
  | { readonly type: "read" }
  | { readonly type: "write"; readonly value: number }
  | { readonly type: "cas"; readonly from: number; readonly to: number };

/** A read answers the value, null where nothing was written; a write `true`; a compare-and-set whether it found `from`. */
export type RegisterOutput = number | boolean | null;

/** One register with read, write and compare-and-set. */
export const registerModel: Model<number | null, RegisterInput, RegisterOutput> = {
  init: null,
  step(state, input, output) {
    switch (input.type) {
      case "read":
        return { ok: output === undefined || output === state, state };
      case "write":
        return { ok: true, state: input.value };
      case "cas": {
        const found = state === input.from;
        return { ok: output === undefined || output === found, state: found ? input.to : state };
      }
      default:
        return input satisfies never;
    }
  },
  isReadOnly: ({ type }) => type === "read",
  describe(input, output) {
    const answer = output === undefined ? "no answer" : String(output);
    if (input.type === "read") return `read -> ${answer}`;
    return input.type === "write" ? `write ${input.value} -> ${answer}` : `cas ${input.from} to ${input.to} -> ${answer}`;
  },
};

export type StoreInput =
  | { readonly type: "get"; readonly key: string }
  | { readonly type: "put" | "append"; readonly key: string; readonly value: string };

/** A store of strings by key; a key that was never put is empty. A get answers the value, the others the empty string. */
export const storeModel: Model<string, StoreInput, string> = {
  init: "",
  step(state, input, output) {
    switch (input.type) {
      case "get":
        return { ok: output === undefined || output === state, state };
      case "put":
        return { ok: true, state: input.value };
      case "append":
        return { ok: true, state: state + input.value };
      default:
        return input satisfies never;
    }
  },
  isReadOnly: ({ type }) => type === "get",
  partition: ({ key }) => key,
};
