import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { digestOf, hexOf } from "../../src/core/digest.ts";
import { checkRefusals, checkTags, countCopies } from "./checks.ts";
import { errorOf, readErrors } from "./logs.ts";
import { RunRecord, type TagOperation } from "./record.ts";

// What the run over hosts says of a history that is wrong: the run itself shows only that those of the program are right.

const folder = mkdtempSync(join(tmpdir(), "roadstead-checks-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let record: RunRecord;
beforeEach(() => {
  record = new RunRecord(() => {});
});

const tag = "a/b:v1";

function operation(calledAt: number, at: number | undefined, input: TagOperation, output: number | boolean | null = true): void {
  record.history.push({ client: "c", input, calledAt, ...(at === undefined ? {} : { returned: { at, output } }) });
}

test("G2: a read of what was replaced before it began is found, and one beside the write is not", () => {
  operation(1, 2, { type: "put", value: 1, tag });
  operation(3, 6, { type: "put", value: 2, tag });
  operation(4, 5, { type: "read", tag }, 1);
  checkTags(record);
  expect(record.violations).toEqual([]);
  operation(7, 8, { type: "read", tag }, 1);
  checkTags(record);
  expect(record.violations).toEqual([expect.stringMatching(/^G2: not linearizable in "a\/b:v1"/)]);
});

test("G8: a put without an answer may be done late, and never twice", () => {
  operation(1, undefined, { type: "put", value: 1, tag });
  operation(2, 3, { type: "put", value: 2, tag });
  operation(4, 5, { type: "read", tag }, 2);
  operation(6, 7, { type: "read", tag }, 1);
  checkTags(record);
  expect(record.violations).toEqual([]);
  operation(8, 9, { type: "put", value: 2, tag });
  operation(10, 11, { type: "read", tag }, 1);
  checkTags(record);
  expect(record.violations).toHaveLength(1);
});

test("G3: a manifest that a cut-off host acknowledged, and a write that waited there, are found", () => {
  const write = (host: string, calledAt: number, endedAt: number, status: number): void =>
    record.wrote({ host, what: "manifest", calledAt, endedAt, status });
  record.cutOff.push({ host: "h1", from: 1_000, to: 20_000 });
  write("h1", 500, 900, 201);
  write("h2", 2_000, 9_000, 201);
  write("h1", 2_000, 2_050, 503);
  write("h1", 19_500, 29_000, 503); // the partition was mended while it waited
  expect(checkRefusals(record)).toEqual({ count: 1, worstMs: 50 });
  expect(record.violations).toEqual([]);
  write("h1", 3_000, 3_100, 201);
  write("h1", 4_000, 9_000, 503);
  write("h1", 10_000, 30_000, 503);
  checkRefusals(record);
  expect(record.violations).toEqual([
    "G3: h1, cut off, acknowledged a manifest",
    "G3: a write (manifest) waited for 5.0 s at h1, which was cut off",
    "G3: a write (manifest) waited for 10.0 s at h1, which was cut off",
  ]);
});

test("G1: a blob of an acknowledged image that lies on too few disks is found", async () => {
  const blob = digestOf(new Uint8Array([1]));
  const image = record.addImage({
    repository: "a/b",
    manifest: new Uint8Array(),
    mediaType: "",
    digest: digestOf(new Uint8Array()),
    blobs: [blob],
  });
  const hosts = ["h1", "h2", "h3"].map((name) => ({ name, data: join(folder, name) }));
  for (const [at, { data }] of hosts.entries()) {
    mkdirSync(join(data, "blobs", "sha256"), { recursive: true });
    if (at < 2) writeFileSync(join(data, "blobs", "sha256", hexOf(blob)), "");
  }
  await countCopies(record, hosts, 3);
  expect(record.violations, "nothing said that it stands").toEqual([]);
  image.state = "kept";
  await countCopies(record, hosts, 2);
  expect(record.violations).toEqual([]);
  await countCopies(record, hosts, 3);
  expect(record.violations).toEqual([`G1: ${blob} lies on 2 disks (h1 h2), not on 3`]);
});

test("errors in the logs are counted, and those that no fault excuses are found", async () => {
  const logFile = join(folder, "h1.log");
  const lines = [
    { level: "info", msg: "ready" },
    { level: "error", msg: "the disk is full" },
    { level: "error", msg: "the state of a member differs from this one's" },
  ];
  writeFileSync(logFile, `${lines.map((line) => JSON.stringify(line)).join("\n")}\nSegmentation fault\n`);
  const errors = await readErrors(record, [{ name: "h1", logFile }]);
  expect([...errors.keys()]).toEqual(["the disk is full", "the state of a member differs from this one's", "Segmentation fault"]);
  expect(record.violations).toHaveLength(1);
  expect(errorOf("")).toBeUndefined();
});
