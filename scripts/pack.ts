// Makes the tarball of the package: dist/ instead of src/, and no more in package.json than what runs it.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { build } from "./build.ts";

const ROOT = join(import.meta.dirname, "..");
const PAGES = ["README.md", "CHANGELOG.md", "LICENSE", "config/roadstead.yaml"];

/** @returns the path of the tarball in `destination` */
export function pack(destination: string): string {
  const staged = mkdtempSync(join(tmpdir(), "roadstead-pack-"));
  try {
    build(join(staged, "dist"));
    for (const page of PAGES) {
      mkdirSync(dirname(join(staged, page)), { recursive: true });
      copyFileSync(join(ROOT, page), join(staged, page));
    }
    writeFileSync(join(staged, "package.json"), `${JSON.stringify(published(), undefined, 2)}\n`);
    mkdirSync(destination, { recursive: true });
    const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", resolve(destination)];
    const [made] = JSON.parse(execFileSync("npm", args, { cwd: staged, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }));
    return join(resolve(destination), made.filename);
  } finally {
    rmSync(staged, { recursive: true, force: true });
  }
}

function published(): Record<string, unknown> {
  const { devDependencies: _, scripts: __, ...manifest } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  return { ...manifest, bin: { roadstead: "dist/cli/main.js" } };
}

if (process.argv[1] === import.meta.filename) {
  process.removeAllListeners("warning");
  process.stdout.write(`${pack(process.argv[2] ?? ".")}\n`);
}
