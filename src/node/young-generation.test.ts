import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

/** Lives of 20,000 objects at a time, which makes V8 enlarge its young generation; the clock strikes in between. The flags are a process's own: it gets one. */
const SCRIPT = `
  import { getHeapSpaceStatistics } from "node:v8";
  import { holdYoungGeneration } from ${JSON.stringify(new URL("./young-generation.ts", import.meta.url).href)};
  let strike = () => {};
  if (process.argv[1] === "hold") holdYoungGeneration({ every: (_, run) => { strike = run; return () => {}; } });
  const held = new Array(20_000);
  for (let i = 0; i < 2_000_000; i += 1) {
    held[i % held.length] = { i, two: [i, i] };
    if (i % 1_000 === 0) strike();
  }
  console.log(getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size);
`;

function youngBytesAfter(mode: string): number {
  return Number(execFileSync(process.execPath, ["--input-type=module", "-e", SCRIPT, mode], { encoding: "utf8" }));
}

test("the young generation stops growing once it has 4 MiB, where V8 alone lets it grow further", () => {
  expect(youngBytesAfter("hold")).toBeLessThan(6 * 1024 * 1024); // some pages more while it is being collected; V8 doubles it
  expect(youngBytesAfter("free")).toBeGreaterThan(12 * 1024 * 1024);
});
