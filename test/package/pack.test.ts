import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, expect, test } from "vitest";
import { pack } from "../../scripts/pack.ts";

const MODULES = join(import.meta.dirname, "../../node_modules");
const folder = mkdtempSync(join(tmpdir(), "roadstead-package-"));
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** As npm would install it, but for the dependencies, which are those of this checkout. @returns the package's folder */
function install(): string {
  const modules = join(folder, "node_modules");
  const own = join(modules, "roadstead");
  mkdirSync(own, { recursive: true });
  execFileSync("tar", ["xzf", pack(folder), "--strip-components=1", "-C", own]);
  for (const name of readdirSync(MODULES)) if (!name.startsWith(".")) symlinkSync(join(MODULES, name), join(modules, name));
  return own;
}

test("the package carries JavaScript alone, and runs from under node_modules", async () => {
  const own = install();
  const files = readdirSync(own, { recursive: true, encoding: "utf8" });
  expect(files).toEqual(
    expect.arrayContaining(["LICENSE", "README.md", "dist/cli/main.js", "dist/cli/hash-worker.js", "dist/THIRD-PARTY-NOTICES.txt"]),
  );
  expect(files.filter((file) => /\.ts$|test|conformance/.test(file))).toEqual([]);
  const manifest = JSON.parse(readFileSync(join(own, "package.json"), "utf8"));
  expect(manifest.bin).toEqual({ roadstead: "dist/cli/main.js" });

  const args = ["serve", "--bootstrap", "--data", join(folder, "data"), "--http", "127.0.0.1:0", "--p2p", "127.0.0.1:0"];
  const child = spawn(process.execPath, [join(own, manifest.bin.roadstead), ...args], { stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  const exited = once(child, "exit");
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  let http: string | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line);
    if (said.msg === "ready") {
      http = said.http;
      break;
    }
  }
  expect([http, errors]).toEqual([expect.stringMatching(/^127\.0\.0\.1:\d+$/), ""]);
  const bytes = Buffer.from("hashed in the worker");
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const pushed = await fetch(`http://${http}/v2/a/b/blobs/uploads/?digest=${digest}`, { method: "POST", body: bytes });
  expect(pushed.status).toBe(201);
  child.kill("SIGTERM");
  expect(await exited).toEqual([0, null]);
});
