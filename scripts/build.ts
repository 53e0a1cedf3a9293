// Makes dist/, the JavaScript that is published: Node strips no types under node_modules. Lines keep their numbers, so that a
// stack trace of dist/ points at the line in src/.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import module from "node:module";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dirname, "..");

const SPECIFIER = /(["'])(\.{1,2}\/[^"'\n]+)\.ts\1/g;

/** The program and the threads that it starts. */
function entries(): string[] {
  const all = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  return ["cli/main.ts", ...all.filter((path) => path.endsWith("worker.ts"))];
}

/** What the entries reach: tests, doubles and conformance suites stay out. @returns the files written, relative to `out` */
export function build(out = join(ROOT, "dist")): readonly string[] {
  rmSync(out, { recursive: true, force: true });
  const found = new Set(entries());
  for (const path of found) {
    const source = readFileSync(join(ROOT, "src", path), "utf8");
    for (const [, , specifier] of source.matchAll(SPECIFIER)) found.add(`${join(dirname(path), specifier ?? "")}.ts`);
    const code = module.stripTypeScriptTypes(source, { mode: "strip" });
    const target = join(out, path.replace(/\.ts$/, ".js"));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, code.replace(SPECIFIER, "$1$2.js$1").replace(/[ \t]+$/gm, ""));
    if (code.startsWith("#!")) chmodSync(target, 0o755);
  }
  return [...found].map((path) => path.replace(/\.ts$/, ".js"));
}

if (process.argv[1] === import.meta.filename) {
  process.removeAllListeners("warning"); // that stripping by call is new in Node says nothing to whoever builds
  process.stdout.write(`dist/: ${build().length} files\n`);
}
