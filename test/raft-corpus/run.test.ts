import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

const RUN = join(import.meta.dirname, "run.ts");
const QUORUM = "# Of one voter.\nvote cfg=(1) votes=(y)\n----\nVoteWon\n";
const CONFCHANGE = "simple\nv1\n----\nvoters=(1)\n1: StateProbe match=0 next=1\n";
const INTERACTION = "log-level none\n----\nok\n\nraft-log 1\n----\nnode 1 does not exist\n";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "raft-corpus-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

function run(path: string): { status: number | null; lines: string[]; complaint: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [RUN, path], { encoding: "utf8" });
  return { status, lines: stdout.trimEnd().split("\n"), complaint: stderr };
}

test("files of all three kinds are known by what is in them, in folders of any name and depth", () => {
  const paths = [write("a/b/c/quorum.txt", CONFCHANGE), write("a/votes.txt", QUORUM), write("z.txt", INTERACTION)];
  write("README.md", "no transcript");
  const { status, lines } = run(folder);
  expect(lines).toEqual([...paths.map((path) => `ok   ${path}`), "3 passed, 0 failed"]);
  expect(status).toBe(0);
});

test("a file that fails shows the lines where the answers part, and the others run on", () => {
  const bad = write(
    "bad.txt",
    "simple\nv1 l2\n----\nvoters=(1) learners=(2)\n1: StateProbe match=0 next=1\n2: StateProbe match=0 next=9\n",
  );
  const good = write("good.txt", QUORUM);
  const { status, lines } = run(folder);
  expect(lines).toEqual([
    `FAIL ${bad}: line 1: simple`,
    "    voters=(1) learners=(2)",
    "    1: StateProbe match=0 next=1",
    "  - 2: StateProbe match=0 next=9",
    "  - ",
    "  + 2: StateProbe match=0 next=1 learner",
    "  + ",
    `ok   ${good}`,
    "1 passed, 1 failed",
  ]);
  expect(status).toBe(1);
});

test("a file without an expected answer fails, as does one without a directive", () => {
  const broken = write("broken.txt", "campaign 1\n");
  const empty = write("empty.txt", "# Nothing yet.\n");
  const { status, lines } = run(folder);
  expect(lines.filter((line) => !line.startsWith("  -"))).toEqual([
    `FAIL ${broken}: line 1: (file)`,
    "  + line 1: no ---- follows the directive",
    "  + ",
    `FAIL ${empty}: line 1: (file)`,
    "  + no directive stands here",
    "  + ",
    "0 passed, 2 failed",
  ]);
  expect(status).toBe(1);
});

test("a folder that is not there, or holds no such file, fails and says which it is", () => {
  write("README.md", "no transcript");
  for (const [path, why] of [
    [join(folder, "absent"), "there is no such file or folder"],
    [folder, "no file whose name ends in .txt lies in it"],
  ] as const) {
    const { status, lines, complaint } = run(path);
    expect([status, lines]).toEqual([1, ["0 passed, 0 failed"]]);
    expect(complaint).toContain(`${path}: ${why}`);
  }
});

test("a directive that no harness knows fails its file and names it", () => {
  const bad = write("bad.txt", "log-level none\n----\nok\n\nfrobnicate 1\n----\nok\n");
  const { status, lines } = run(bad);
  expect([status, lines.slice(0, 2), lines.at(-1)]).toEqual([1, [`FAIL ${bad}: line 5: frobnicate`, "  - ok"], "0 passed, 1 failed"]);
  expect(lines).toContain("  + unknown command");
});

test("files whose lines end as on Windows are read like the others", () => {
  const paths = [write("a.txt", QUORUM), write("b.txt", CONFCHANGE), write("c.txt", INTERACTION)];
  for (const path of paths) writeFileSync(path, readFileSync(path, "utf8").replaceAll("\n", "\r\n"));
  expect(run(folder).lines).toEqual([...paths.map((path) => `ok   ${path}`), "3 passed, 0 failed"]);
});

test("one file can be run by itself", () => {
  const path = write("only.txt", QUORUM);
  expect(run(path)).toEqual({ status: 0, lines: [`ok   ${path}`, "1 passed, 0 failed"], complaint: "" });
});
