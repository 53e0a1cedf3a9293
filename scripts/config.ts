// Writes config/roadstead.yaml from the schema; with --check only compares.
import { readFileSync, writeFileSync } from "node:fs";
import { renderConfigFile } from "../src/config/document.ts";

const path = new URL("../config/roadstead.yaml", import.meta.url);
const wanted = renderConfigFile();

if (process.argv.includes("--check")) {
  if (readFileSync(path, "utf8") !== wanted) {
    process.stderr.write("config/roadstead.yaml differs from src/config/settings.ts; run: node scripts/config.ts\n");
    process.exitCode = 1;
  }
} else {
  writeFileSync(path, wanted);
}
