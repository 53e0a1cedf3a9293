import type { ConfChangeSingle, ConfChangeType } from "../../src/raft/conf-change.ts";
import { HarnessError } from "./harness-error.ts";
import { wholeNumber } from "./parser.ts";

const LETTERS = { v: "addNode", l: "addLearner", r: "removeNode", u: "updateNode" } satisfies Record<string, ConfChangeType>;

const LETTER_OF = { addNode: "v", addLearner: "l", removeNode: "r", updateNode: "u" } satisfies Record<ConfChangeType, string>;

/** `v1 l2 r3 u4`, separated by white space. */
export function parseOperations(text: string): ConfChangeSingle[] {
  const words = text.split(/\s+/).filter((word) => word !== "");
  return words.map((word) => {
    if (word.length < 2) throw new HarnessError(`unknown token ${word}`);
    const letter = word[0] ?? "";
    if (!isLetter(letter)) throw new HarnessError(`unknown input: ${word}`);
    return { type: LETTERS[letter], nodeId: wholeNumber(word.slice(1)) };
  });
}

export function formatOperations(changes: readonly ConfChangeSingle[]): string {
  return changes.map(({ type, nodeId }) => `${LETTER_OF[type]}${nodeId}`).join(" ");
}

function isLetter(text: string): text is keyof typeof LETTERS {
  return Object.hasOwn(LETTERS, text);
}
