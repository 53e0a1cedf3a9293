import type { ConfChangeSingle, ConfChangeType } from "../../src/raft/conf-change.ts";

const LETTERS = { v: "addNode", l: "addLearner", r: "removeNode", u: "updateNode" } satisfies Record<string, ConfChangeType>;

/** `v1 l2 r3 u4`, separated by white space. */
export function parseOperations(text: string): ConfChangeSingle[] {
  const words = text.split(/\s+/).filter((word) => word !== "");
  return words.map((word) => {
    const type = LETTERS[word[0] as keyof typeof LETTERS];
    const nodeId = Number(word.slice(1));
    if (type === undefined || !Number.isSafeInteger(nodeId)) throw new Error(`unknown input: ${word}`);
    return { type, nodeId };
  });
}

export function formatOperations(changes: readonly ConfChangeSingle[]): string {
  const letterOf = (type: ConfChangeType): string =>
    type === "addNode" ? "v" : type === "addLearner" ? "l" : type === "removeNode" ? "r" : "u";
  return changes.map(({ type, nodeId }) => `${letterOf(type)}${nodeId}`).join(" ");
}
