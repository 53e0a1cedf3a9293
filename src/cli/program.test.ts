import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

test("what is written to a pipe that nobody reads any more ends the command without a word", async () => {
  const command = spawn(process.execPath, [MAIN, "--help"], { stdio: ["ignore", "pipe", "pipe"] });
  command.stdout.destroy();
  let said = "";
  command.stderr.on("data", (chunk) => {
    said += String(chunk);
  });
  const [code] = await once(command, "close");
  expect([code, said]).toEqual([0, ""]);
});
