import { spawn } from "node:child_process";
import { createRequire } from "node:module";

export const NODE_MAJOR_MIN = 24;

/** True where this process can run roadstead: type stripping, libp2p 3 and the native modules need Node 24. */
export function isNodeGoodEnough(version: string): boolean {
  return Number(version.replace(/^v/, "").split(".")[0]) >= NODE_MAJOR_MIN;
}

export function tooOldLine(version: string, platform: string, arch: string): string {
  return `roadstead needs Node ${NODE_MAJOR_MIN} or newer; this is ${version} on ${platform} ${arch}. Install it from https://nodejs.org, or reinstall roadstead with its optional dependencies (Linux x64 and arm64).`;
}

/** The Node 24 that npm installed beside roadstead; undefined where this platform has none. */
export function bundledNode(platform: string, arch: string): string | undefined {
  if (platform !== "linux") return undefined;
  try {
    return createRequire(import.meta.url).resolve(`node-linux-${arch}/bin/node`);
  } catch {
    return undefined;
  }
}

/** Runs the same command under another Node and ends with its exit code; does not return before that. */
export function runUnder(node: string, args: readonly string[]): Promise<number> {
  const child = spawn(node, args, { stdio: "inherit" });
  // Ctrl-C reaches the child by the terminal; a second one from here would skip its graceful stop
  process.on("SIGINT", () => {
    if (!process.stdin.isTTY) child.kill("SIGINT");
  });
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}
