import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, test } from "vitest";
import { freePorts, roadstead, startCluster } from "../harness/cluster.ts";
import { program } from "../harness/program.ts";
import { blocksOf } from "./blocks.ts";

const ROOT = join(import.meta.dirname, "../..");
const blocks = blocksOf(readFileSync(join(ROOT, "README.md"), "utf8"));

let folder: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "roadstead-readme-"));
});
afterEach(async () => {
  const ended = children.splice(0).map(async (child) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    await gone;
  });
  await Promise.all(ended);
  rmSync(folder, { recursive: true, force: true });
});

function hasCurl(): boolean {
  try {
    execFileSync("curl", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

test("the README marks blocks to be run", () => {
  expect(blocks.map(({ name }) => name)).toEqual(["curl", "hosts", "hosts", "hosts", "hosts", "hosts", "hosts"]);
});

test.each(["README.md", "CONTRIBUTING.md"])(
  "no command of %s calls node itself: the machine's may be Node 20, npm and npx run Node 24",
  (page) => {
    const text = readFileSync(join(ROOT, page), "utf8");
    expect(text.match(/(?:^|`)[ \t]*node [^\n]*/gm) ?? []).toEqual([]);
  },
);

test.skipIf(!hasCurl())(
  "README, five minutes: the lines with curl work, each through another node (skipped where curl is not installed)",
  async () => {
    const cluster = await startCluster();
    try {
      const script = blocks
        .filter(({ name }) => name === "curl")
        .flatMap(({ commands }) => commands)
        .join("\n")
        .replace(/127\.0\.0\.1:500([123])/g, (_, node: string) => `127.0.0.1:${cluster.nodes[Number(node) - 1]?.port}`);
      const said = execFileSync("sh", ["-euc", script], { cwd: folder, encoding: "utf8" });
      expect(said).toContain("hello from roadstead");
    } finally {
      await cluster.stop();
    }
  },
);

/** Starts a node as its host would, and waits until it is ready. */
async function serve(args: readonly string[]): Promise<void> {
  const main = await program(); // what `npm i -g` puts there
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    if (JSON.parse(line).msg !== "ready") continue;
    child.stdout.resume();
    return;
  }
  throw new Error(`roadstead ${args.join(" ")} ended before it was ready`);
}

async function stopFirst(): Promise<void> {
  const [first] = children;
  const gone = once(first!, "exit");
  first!.kill("SIGTERM");
  await gone;
}

test("README, three hosts in five minutes: bootstrap, token, join; a fourth joins by the name of all, and the first is drained and removed", async () => {
  const commands = blocks.filter(({ name }) => name === "hosts").flatMap((block) => block.commands);
  const ports = await freePorts(4);
  let host = 0;
  let token = "";
  const said: string[] = [];
  for (const command of commands) {
    const [program, ...args] = command.split(/\s+/);
    expect(program).toBe("roadstead");
    if (args[0] === "serve") host += 1;
    if (args[0] === "remove") await stopFirst();
    const here = args
      .map((arg) => arg.replace("/var/lib/roadstead", join(folder, `host-${host}`)))
      .map((arg) => arg.replace(/registry-\d\.example\.com:5000/, "127.0.0.1:0"))
      .map((arg) => arg.replace(/registry-(\d)\.example\.com:5100/, (_, number: string) => `127.0.0.1:${ports[Number(number) - 1]}`))
      .map((arg) => arg.replace("registry.example.com:5100", `localhost:${ports[1]}`))
      .map((arg) => arg.replace(/^TOKEN$/, token));
    if (args[0] === "serve") {
      await serve(here);
      continue;
    }
    const text = await roadstead(...here);
    said.push(text);
    token = /--token (\S+)/.exec(text)?.[1] ?? token;
  }
  const [, status, drained, removed] = said;
  expect(status).toMatch(/registry-1 .*alive .*rack-1[\s\S]*registry-2 .*alive .*rack-2[\s\S]*registry-3 .*alive .*rack-3/);
  expect(drained).toContain("Nothing lies on registry-1 any more.");
  expect(removed).toContain("registry-1 is no member any more.");
});
