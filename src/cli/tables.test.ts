import { expect, test } from "vitest";
import { renderAudit } from "./audit.ts";
import { renderTokens } from "./token.ts";

test("tokens are a table that says what became of each", () => {
  const text = renderTokens([
    { id: "a1", state: "good", usesLeft: 2, msLeft: 7_200_000 },
    { id: "b2", state: "good", usesLeft: 1, msLeft: 90_000 },
    { id: "c3", state: "used up", usesLeft: 0, msLeft: 90_000 },
  ]);
  expect(text).toBe(
    "ID  STATE    USES LEFT  TIME LEFT\na1  good     2          2 h\nb2  good     1          2 min\nc3  used up  0          -\n",
  );
});

test("the audit trail ends with its newest record, and an empty one says so", () => {
  const entry = (at: string, target: string) => ({ at, node: "n1", action: "join.refused", target, detail: "wrong, from 192.0.2.1" });
  expect(renderAudit([entry("2026-01-02", "new"), entry("2026-01-01", "old")])).toMatch(
    /^AT .*\n2026-01-01 .* old .*\n2026-01-02 .* new .*\n$/,
  );
  expect(renderAudit([])).toContain("Nothing");
});
