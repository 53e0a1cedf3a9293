import { execFileSync } from "node:child_process";

/** Why this process may make no network namespaces; undefined where it may. @param prefix of the names that its caller uses */
export function whyNoNamespaces(prefix: string): string | undefined {
  const probe = `${prefix}${process.pid}probe`;
  try {
    execFileSync("ip", ["netns", "add", probe], { stdio: "ignore" });
    execFileSync("ip", ["netns", "del", probe], { stdio: "ignore" });
    return undefined;
  } catch {
    return "needs the right to make network namespaces";
  }
}

/** Whether the process whose id stands in the name of a namespace goes on; else what it left may be removed. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
