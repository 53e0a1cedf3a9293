import { expect, test } from "vitest";
import { renderStatus } from "./status.ts";
import { formatBytes } from "./table.ts";

const NOTHING = { blobs: 0, bytes: 0 };
const AT_REST = { underReplicated: NOTHING, moving: NOTHING, quarantined: 0, tasks: [] };
const DISK = { freeBytes: 5 * 2 ** 30 };
const NODE = {
  zone: "",
  addresses: [],
  role: "voter",
  alive: true,
  draining: false,
  copies: 2,
  copyBytes: 20_000_000,
  appliedIndex: 9,
  blobs: 2,
  bytes: 20_000_000,
  cutOff: false,
  disk: DISK,
};

test("status is a table with a row a node, `-` for what is not known, and a line for each warning", () => {
  const text = renderStatus({
    clusterId: "c1",
    leader: "a",
    commitIndex: 9,
    cutOff: false,
    nodes: [
      { ...NODE, name: "a", peerId: "P1", http: "127.0.0.1:5001", zone: "rack-1" },
      {
        name: "node-2",
        peerId: "P2",
        http: "127.0.0.1:5002",
        role: "learner",
        alive: false,
        draining: false,
        copies: 0,
        copyBytes: 0,
        zone: "",
        addresses: [],
      },
    ],
    ...AT_REST,
    warnings: ["one copy only"],
  });
  expect(text).toBe(
    [
      "cluster       c1",
      "leader        a",
      "commit index  9",
      "",
      "NAME    ROLE     STATE  ZONE    APPLIED  BLOBS  SIZE      FREE     SCRUBBED  HTTP            PEER ID",
      "a       leader   alive  rack-1  9        2      19.1 MiB  5.0 GiB  -         127.0.0.1:5001  P1",
      "node-2  learner  down   -       -        -      -         -        -         127.0.0.1:5002  P2",
      "",
      "! one copy only",
      "",
    ].join("\n"),
  );
});

test("a node that is cut off, and an answer that may be old, are said to be so", () => {
  const node = { ...NODE, name: "a", peerId: "P1", http: "h", cutOff: true };
  const text = renderStatus({ clusterId: "c1", commitIndex: 9, cutOff: true, nodes: [node], ...AT_REST, warnings: [] });
  expect(text).toMatch(/^leader\s+none$/m);
  expect(text).toMatch(/^a .* cut off /m);
  expect(text).toContain("! this node is cut off from the majority");
});

test("what is out of place is counted, and what goes on has bytes, rate and time left; when a node was last scrubbed, or how far that is", () => {
  const at = { ...NODE, peerId: "P", http: "h" };
  const text = renderStatus({
    clusterId: "c1",
    commitIndex: 9,
    cutOff: false,
    nodes: [
      { ...at, name: "a", scrub: { running: true, done: 0.129, endedAt: "2026-11-25T10:11:12.000Z" } },
      { ...at, name: "b", scrub: { running: false, done: 0, endedAt: "2026-11-25T10:11:12.000Z" } },
    ],
    underReplicated: { blobs: 1, bytes: 2048 },
    moving: { blobs: 3, bytes: 3 * 2 ** 20 },
    quarantined: 2,
    tasks: [
      { kind: "drain", node: "a", left: { blobs: 5, bytes: 10 * 2 ** 20 }, bytesPerSecond: 2 ** 20, msLeft: 10_000 },
      { kind: "repair", left: { blobs: 1, bytes: 2048 }, bytesPerSecond: 0 },
      { kind: "rebalance", left: { blobs: 3, bytes: 3 * 2 ** 20 }, bytesPerSecond: 1536, msLeft: 2_048_000 },
      { kind: "snapshot", node: "b", sentBytes: 5 * 2 ** 20, bytesPerSecond: 2 ** 20 },
    ],
    warnings: [],
  });
  expect(text).toMatch(/^short of copies {2}1 blob, 2\.0 KiB to send$/m);
  expect(text).toMatch(/^moving {11}3 blobs, 3\.0 MiB to send$/m);
  expect(text).toMatch(/^quarantined {6}2 bad copies$/m);
  expect(text).toMatch(/^a .* 12 % /m);
  expect(text).toMatch(/^b .* 2026-11-25 10:11 /m);
  expect(text).toContain("> a drains: 5 blobs, 10.0 MiB, 1.0 MiB/s, 10 s left\n");
  expect(text).toContain("> copies are made again: 1 blob, 2.0 KiB\n");
  expect(text).toContain("> copies move to where they belong: 3 blobs, 3.0 MiB, 1.5 KiB/s, 34 min left\n");
  expect(text).toContain("> b is sent the catalog: 5.0 MiB, 1.0 MiB/s\n");
});

test("sizes are rounded to what a person reads", () => {
  expect([0, 1023, 1024, 1_572_864, 120 * 2 ** 30, 2 ** 60].map(formatBytes)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 MiB",
    "120 GiB",
    "1024 PiB",
  ]);
});
