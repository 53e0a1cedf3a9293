import { afterEach, expect, test, vi } from "vitest";
import { ANYONE, body, NEVER, pushBlob, pushImage, TestCluster } from "../../test/registry/cluster.ts";
import { ManualClock } from "../consensus/manual-clock.ts";
import { digestOf } from "../core/digest.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import type { Command } from "../metadata/commands.ts";
import { rootNamed } from "../metadata/scenario.ts";

const REPOSITORY = "team/app" as RepositoryName;
const OTHER = "team/other" as RepositoryName;
const HOUR_MS = 3_600_000;
const LEASE_MS = 24 * HOUR_MS;

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

type Renewal = Extract<Command, { type: "lease.renewLinks" }>;

async function start(nodes = 1) {
  const clock = new ManualClock();
  const started = await TestCluster.start({ nodes, clock, limits: { leaseMs: LEASE_MS } });
  cluster = started;
  const { shared } = started;
  const renewals: Renewal[] = [];
  let heard: () => void = () => undefined;
  shared.onApplied(({ command }) => {
    if (command.type !== "lease.renewLinks") return;
    renewals.push(command);
    heard();
  });
  return {
    ...started,
    shared,
    clock,
    renewals,
    node: started.node(1),
    pass: async (ms: number) => {
      await started.passTime(ms);
      clock.advance(ms);
    },
    renewal: () => new Promise<void>((resolve) => (heard = resolve)),
  };
}

test("G5: progress of an upload renews the unreferenced links of its repository, those of no other, and none that a manifest names", async () => {
  const { shared, node, renewals, pass, renewal } = await start();
  const layer = await pushBlob(node, REPOSITORY, Buffer.from("a layer that was pushed first"));
  const elsewhere = await pushBlob(node, OTHER, Buffer.from("a layer of another image"));
  await pushImage(node, REPOSITORY, "v1" as Tag);
  const { id } = await node.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  await pass(13 * HOUR_MS);
  const renewed = renewal();
  await node.registry.appendUpload(ANYONE, { repository: REPOSITORY, id, body: body(Buffer.from("a")) }, NEVER);
  await renewed;
  expect(renewals).toEqual([{ type: "lease.renewLinks", repository: REPOSITORY, digests: [layer] }]);
  expect(shared.catalog.link(REPOSITORY, layer)?.lease).toBe(37 * HOUR_MS);
  expect(shared.catalog.link(OTHER, elsewhere)?.lease).toBe(LEASE_MS);
});

test("G5: one request that lasts for longer than a lease keeps the links all the while, and a repository is looked at once in a sixteenth of it", async () => {
  const { shared, node, pass } = await start();
  const layer = await pushBlob(node, REPOSITORY, Buffer.from("a layer that was pushed first"));
  const looks = vi.spyOn(shared.catalog, "leasesEnding");
  const { id } = await node.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  let chunks = 0;
  const slow = (async function* () {
    for (; chunks < 60; chunks += 1) {
      await pass(HOUR_MS / 2);
      yield Buffer.from("x");
    }
  })();
  await node.registry.appendUpload(ANYONE, { repository: REPOSITORY, id, body: slow }, NEVER);
  expect(shared.catalog.time()).toBeGreaterThan(LEASE_MS);
  expect(looks.mock.calls.length).toBeLessThanOrEqual(30 / 1.5 + 1);
  expect(await shared.propose({ type: "gc.unlink", repository: REPOSITORY, digest: layer })).toMatchObject({ refused: "busy" });
});

test("more links than one command holds are renewed by several; one that fails is tried again half a minute later", async () => {
  const { shared, node, clock, renewals, pass } = await start();
  const digests = Array.from({ length: 300 }, (_, at) => digestOf(Buffer.from(`layer ${at}`)));
  for (const digest of digests) {
    const blob = { digest, sizeBytes: 1, root: rootNamed("layer"), copies: [1], deadline: shared.catalog.time(), commitId: "c" };
    await shared.propose({ type: "blob.commit", repository: REPOSITORY, ...blob });
  }
  await pass(13 * HOUR_MS);
  const { propose } = node.consensus;
  const failed = Promise.withResolvers<void>();
  node.consensus.propose = async () => {
    node.consensus.propose = propose;
    failed.resolve();
    throw new Error("no leader");
  };
  await node.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  await failed.promise;
  await new Promise(setImmediate);
  await node.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  expect(renewals).toEqual([]);
  clock.advance(30_000);
  const both = new Promise<void>((resolve) => shared.onApplied(() => renewals.length === 2 && resolve()));
  await node.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  await both;
  expect(renewals.map((renewal) => renewal.digests.length)).toEqual([256, 44]);
  expect(new Set(renewals.flatMap((renewal) => renewal.digests))).toEqual(new Set(digests));
});
