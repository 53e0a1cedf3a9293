import { expect, test } from "vitest";
import { Breath } from "./breath.ts";

test("the event loop turns in the middle of a long list, and not for a short one", async () => {
  const walk = async (records: number): Promise<boolean> => {
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    const breath = new Breath();
    for (let at = 0; at < records; at += 1) await breath.next();
    return turned;
  };
  expect(await walk(100)).toBe(false);
  expect(await walk(1_000)).toBe(true);
});
