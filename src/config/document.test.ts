import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { renderConfigFile } from "./document.ts";

test("config/roadstead.yaml is what the schema says (else run: node scripts/config.ts)", () => {
  expect(readFileSync(new URL("../../config/roadstead.yaml", import.meta.url), "utf8")).toBe(renderConfigFile());
});
