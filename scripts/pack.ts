// Plain `npm pack`, whose `prepack` makes dist/ of src/: Node strips no types under node_modules, so the tarball carries JavaScript.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";

/** @returns the path of the tarball in `destination` */
export function pack(destination: string): string {
  mkdirSync(destination, { recursive: true });
  const args = ["pack", "--silent", "--pack-destination", resolve(destination)];
  const said = execFileSync("npm", args, { cwd: join(import.meta.dirname, ".."), encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  return join(resolve(destination), said.trim().split("\n").at(-1) ?? "");
}
