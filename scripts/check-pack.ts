// What CI does with the tarball: npm i -g into a folder of its own, start it, ask it. Needs the npm registry, or a warm cache.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pack } from "./pack.ts";

process.removeAllListeners("warning");
const folder = mkdtempSync(join(tmpdir(), "roadstead-install-"));
try {
  const tarball = pack(folder);
  const flags = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
  execFileSync("npm", ["install", "-g", "--prefix", join(folder, "prefix"), ...flags, tarball], { stdio: "inherit" });
  const program = join(folder, "prefix", "bin", "roadstead");
  const args = ["serve", "--bootstrap", "--data", join(folder, "data"), "--http", "127.0.0.1:0", "--p2p", "127.0.0.1:0"];
  // The system's Node, whichever it is: an older one is to find the one that was installed beside
  const path = (process.env.PATH ?? "").split(":").filter((part) => !part.includes("node_modules"));
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, PATH: path.join(":") } });
  const exited = once(child, "exit");
  let http: string | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line);
    if (said.msg !== "ready") continue;
    http = said.http;
    break;
  }
  if (http === undefined) throw new Error("the installed roadstead did not become ready");
  const answer = await fetch(`http://${http}/v2/`);
  child.kill("SIGTERM");
  const [code] = await exited;
  if (answer.status !== 200 || code !== 0) throw new Error(`GET /v2/ answered ${answer.status}, and the node ended with ${code}`);
  process.stdout.write("packed, installed, started, asked, stopped: all well\n");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
