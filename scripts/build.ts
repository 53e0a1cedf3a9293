// Makes dist/, the program that is published: one bundle of src/ and the libraries it uses, because Node strips no types under
// node_modules, and because a node that loads a thousand files needs more than twice the time to start than one that loads six.
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type OutputChunk, rolldown } from "rolldown";

const ROOT = join(import.meta.dirname, "..");
/** Native code, which is found beside its own package. */
const LEFT_OUT = [/^classic-level$/, /^msgpackr-extract$/];
/** The program and the threads that it starts. Their names are those of the files in dist/cli/. */
const ENTRIES = { main: "src/cli/main.ts", "hash-worker": "src/blobs/disk/hash-worker.ts" };
const NOTICES = "THIRD-PARTY-NOTICES.txt";

/** All lie in one folder two below the package's, as src/cli/ does: what a file looks for beside itself is found in both. */
export async function build(out = join(ROOT, "dist")): Promise<readonly string[]> {
  rmSync(out, { recursive: true, force: true });
  const bundle = await rolldown({ input: ENTRIES, platform: "node", external: LEFT_OUT, cwd: ROOT, onLog: refuse });
  const names = { entryFileNames: "cli/[name].js", chunkFileNames: "cli/[name].js" };
  const { output } = await bundle.write({ dir: out, format: "esm", ...names });
  await bundle.close();
  const chunks = output.filter((part) => part.type === "chunk");
  chmodSync(join(out, "cli/main.js"), 0o755);
  writeFileSync(join(out, NOTICES), notices(chunks));
  return [...chunks.map(({ fileName }) => fileName), NOTICES];
}

/** A library that says it could not be bundled as it stands would fail at a user's. */
function refuse(level: "debug" | "info" | "warn", log: { readonly message: string; readonly id?: string }): void {
  const foreign = log.id?.includes("node_modules") ?? false;
  if (level === "warn" && !foreign) throw new Error(`dist/ was not made: ${log.message}`);
}

/** The licences of what the bundle carries, each once: they ask to go along with the code. */
function notices(chunks: readonly OutputChunk[]): string {
  const packages = new Set(chunks.flatMap(({ moduleIds }) => moduleIds.flatMap((id) => packageOf(id) ?? [])));
  const texts = [...packages].map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const files = readdirSync(folder).filter((file) => /^(?:licen[cs]e|notice|copying)/i.test(file));
    const words = files.map((file) => readFileSync(join(folder, file), "utf8").trim());
    return `${name} ${version} (${license})\n\n${words.join("\n\n")}\n`;
  });
  return `roadstead carries code of these packages.\n\n${texts.sort().join(`\n${"-".repeat(80)}\n\n`)}`;
}

/** The folder of the package that a module of node_modules belongs to. */
function packageOf(id: string): string | undefined {
  const found = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id.replace(/^\0/, ""))?.[0];
  return found !== undefined && existsSync(join(found, "package.json")) ? found : undefined;
}

if (process.argv[1] === import.meta.filename) process.stdout.write(`dist/: ${(await build()).join(" ")}\n`);
