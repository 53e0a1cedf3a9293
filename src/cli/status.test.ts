import { expect, test } from "vitest";
import { renderStatus } from "./status.ts";
import { formatBytes } from "./table.ts";

const DISK = { freeBytes: 5 * 2 ** 30 };
const NODE = {
  zone: "",
  addresses: [],
  role: "voter",
  alive: true,
  draining: false,
  copies: 2,
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
        zone: "",
        addresses: [],
      },
    ],
    warnings: ["one copy only"],
  });
  expect(text).toBe(
    [
      "cluster       c1",
      "leader        a",
      "commit index  9",
      "",
      "NAME    ROLE     STATE  ZONE    APPLIED  BLOBS  SIZE      FREE     HTTP            PEER ID",
      "a       leader   alive  rack-1  9        2      19.1 MiB  5.0 GiB  127.0.0.1:5001  P1",
      "node-2  learner  down   -       -        -      -         -        127.0.0.1:5002  P2",
      "",
      "! one copy only",
      "",
    ].join("\n"),
  );
});

test("a node that is cut off, and an answer that may be old, are said to be so", () => {
  const node = { ...NODE, name: "a", peerId: "P1", http: "h", cutOff: true };
  const text = renderStatus({ clusterId: "c1", commitIndex: 9, cutOff: true, nodes: [node], warnings: [] });
  expect(text).toMatch(/^leader\s+none$/m);
  expect(text).toMatch(/^a .* cut off /m);
  expect(text).toContain("! this node is cut off from the majority");
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
