import type { Random } from "../core/random.ts";

/** Ids that are unlike across nodes and boots (48 random bits) and cost one addition a request. */
export function requestIds(random: Random): () => string {
  const prefix = Buffer.from(random.bytes(6)).toString("hex");
  let count = 0;
  return () => {
    count += 1;
    return `${prefix}-${count.toString(36)}`;
  };
}
