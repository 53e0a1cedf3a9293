import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { build } from "../../scripts/build.ts";

const ROOT = join(import.meta.dirname, "../..");
const CACHE = join(ROOT, "node_modules/.cache/roadstead-program");
const KEPT_MS = 86_400_000;
const MAIN = "dist/cli/main.js";

let built: Promise<string> | undefined;

/**
 * What is published, made of src/ as it stands: a process of it starts in less than half the time that one of the sources takes. Kept by the contents of
 * what it is made of, so that what runs is never older than the sources.
 * @returns the path of its entry
 */
export function program(): Promise<string> {
  built ??= find();
  return built;
}

async function find(): Promise<string> {
  const folder = join(CACHE, contents());
  if (!existsSync(folder)) await make(folder);
  return join(folder, MAIN);
}

function contents(): string {
  const all = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).map((path) => join("src", path));
  const sources = all.filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts")).sort();
  const hash = createHash("sha256");
  for (const path of [...sources, "scripts/build.ts", "package.json", "package-lock.json"]) {
    const bytes = readFileSync(join(ROOT, path));
    hash.update(`${path} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest("hex").slice(0, 32);
}

/** Two workers of a test run may do so at once: the first to rename has made it. */
async function make(folder: string): Promise<void> {
  mkdirSync(CACHE, { recursive: true });
  for (const name of readdirSync(CACHE)) {
    const old = join(CACHE, name);
    if (Date.now() - (statSync(old, { throwIfNoEntry: false })?.mtimeMs ?? 0) > KEPT_MS) rmSync(old, { recursive: true, force: true });
  }
  const making = mkdtempSync(join(CACHE, "making-"));
  await build(join(making, "dist"));
  copyFileSync(join(ROOT, "package.json"), join(making, "package.json"));
  try {
    renameSync(making, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    rmSync(making, { recursive: true, force: true });
  }
}
