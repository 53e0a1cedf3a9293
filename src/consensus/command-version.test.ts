import { expect, test } from "vitest";
import { COMMAND_VERSION } from "../metadata/commands.ts";
import { commandVersion } from "./command-version.ts";

test("a half-upgraded cluster is proposed to in the schema that all members know", () => {
  expect(commandVersion({ version: 1 }, 2)).toBe(1);
  expect(commandVersion({ version: 2 }, 2)).toBe(2);
  expect(commandVersion({ version: 3 }, 2)).toBe(2);
  expect(commandVersion(undefined)).toBe(COMMAND_VERSION);
});
