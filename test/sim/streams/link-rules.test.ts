import { expect, test } from "vitest";
import type { PeerMessage } from "../../../src/consensus/transport.ts";
import { LinkRules } from "./link-rules.ts";

const proposal = (text: string): PeerMessage => ({ kind: "proposal", envelope: Buffer.from(text) });
const PING: PeerMessage = { kind: "ping" };

function judge(happen: (rules: LinkRules) => unknown): string | undefined {
  let broken: string | undefined;
  happen(
    new LinkRules((invariant) => {
      broken ??= invariant;
    }),
  );
  return broken;
}

test.each<[what: string, invariant: string | undefined, happen: (rules: LinkRules) => unknown]>([
  ["all arrives in its order", undefined, (link) => [send(link, "a", "b"), hear(link, "a"), hear(link, "b")]],
  [
    "what is urgent overtakes",
    undefined,
    (link) => [send(link, "a"), link.sent("n", 2, [PING]), link.arrived("n", 2, [PING]), hear(link, "a")],
  ],
  ["one is lost and its sender told", undefined, (link) => [send(link, "a"), link.lost("n", 2), send(link, "b"), hear(link, "b")]],
  [
    "one that was told to be lost comes",
    undefined,
    (link) => [send(link, "a"), link.lost("n", 2), send(link, "b"), hear(link, "a"), hear(link, "b")],
  ],
  ["one of two that are the same is lost", undefined, (link) => [send(link, "a", "a", "b"), hear(link, "a"), hear(link, "b")]],
  ["one is lost and nobody told", "what a link loses is told", (link) => [send(link, "a", "b"), hear(link, "b")]],
  ["the loss is told too late", "what a link loses is told", (link) => [send(link, "a", "b"), link.lost("n", 2), hear(link, "b")]],
  ["one is heard twice", "a link delivers what was sent", (link) => [send(link, "a"), hear(link, "a"), hear(link, "a")]],
])("%s: %s", (_, invariant, happen) => {
  expect(judge(happen)).toBe(invariant);
});

function send(link: LinkRules, ...texts: readonly string[]): void {
  link.sent("n", 2, texts.map(proposal));
}

function hear(link: LinkRules, text: string): void {
  link.arrived("n", 2, [proposal(text)]);
}
