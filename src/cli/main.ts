#!/usr/bin/env node
// Only what an older Node can load stands above the check; the rest is imported once this one is new enough.
import module from "node:module";
import { join } from "node:path";
import { bundledNode, isNodeGoodEnough, runUnder, tooOldLine } from "./node-version.ts";

/** Compiled code is kept per user, never in a folder that others can write to. */
function cacheFolder(): string | undefined {
  const { CACHE_DIRECTORY, XDG_CACHE_HOME, HOME, NODE_COMPILE_CACHE } = process.env;
  if (NODE_COMPILE_CACHE !== undefined) return NODE_COMPILE_CACHE;
  const base = CACHE_DIRECTORY ?? XDG_CACHE_HOME ?? (HOME === undefined ? undefined : join(HOME, ".cache"));
  return base === undefined || base === "" ? undefined : join(base, "roadstead", "compiled");
}

async function main(): Promise<void> {
  if (!isNodeGoodEnough(process.version)) {
    const node = bundledNode(process.platform, process.arch);
    if (node !== undefined) {
      process.exitCode = await runUnder(node, process.argv.slice(1));
      return;
    }
    process.stderr.write(`${tooOldLine(process.version, process.platform, process.arch)}\n`);
    process.exitCode = 1;
    return;
  }
  const folder = cacheFolder();
  if (folder !== undefined) module.enableCompileCache(folder);
  const { runProgram } = await import("./program.ts");
  const code = await runProgram(process.argv.slice(2), process.env);
  if (code !== 0) process.exit(code); // it has said why: a library's timer is not to keep it for a second more
}

await main();
