/**
 * `node bench/consensus/snapshot-turns.ts [--megabytes M]`: the longest turn of the event loop while one process both writes a snapshot of the catalog and takes it in, in processor time of the
 * thread, which does not count what other programs take. And how long applying stands still while the new catalog takes the place of the old one.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DurableCatalog } from "../../src/consensus/catalog-store.ts";
import { levelStorage } from "../../src/consensus/level/level-storage.ts";
import { systemClock } from "../../src/core/clock.ts";
import { seededRandom } from "../../src/core/random.ts";
import { SnapshotReader, SnapshotWriter } from "../../src/metadata/snapshot.ts";
import { type Row, table } from "../report.ts";

const VALUE_BYTES = [200, 20_000, 4_000_000];
const BATCH_BYTES = 2e6;
const SEAL = new Uint8Array(32);

/** @returns ends the watch: the longest turn since, in ms of processor time */
function watchTurns(): () => number {
  let longestMs = 0;
  let running = true;
  let last = process.threadCpuUsage();
  const turn = (): void => {
    const { user, system } = process.threadCpuUsage();
    longestMs = Math.max(longestMs, (user + system - last.user - last.system) / 1_000);
    last = { user, system };
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  return () => {
    running = false;
    return longestMs;
  };
}

async function fill(store: DurableCatalog, rows: number, valueBytes: number): Promise<void> {
  const random = seededRandom(valueBytes);
  const perBatch = Math.max(1, Math.floor(BATCH_BYTES / valueBytes));
  for (let at = 0; at < rows; ) {
    const changes = new Map<string, Uint8Array>();
    for (const end = Math.min(rows, at + perBatch); at < end; at += 1) {
      const words = Uint32Array.from({ length: valueBytes / 4 }, () => random.float() * 2 ** 32);
      changes.set(`k/${String(at).padStart(9, "0")}`, new Uint8Array(words.buffer));
    }
    await store.applyBatch({ entries: [{ index: store.appliedIndex + 1, seal: SEAL }], changes, term: 1, confState: undefined });
  }
  await store.sync();
}

async function measure(root: string, megabytes: number, valueBytes: number): Promise<Row> {
  const fatal = (error: Error): void => {
    throw error;
  };
  const open = (name: string) =>
    DurableCatalog.open({ storage: levelStorage(join(root, `${name}-${valueBytes}`)), clock: systemClock, fatal });
  const [from, to] = [await open("from"), await open("to")];
  const rows = Math.ceil((megabytes * 1e6) / valueBytes);
  await fill(from, rows, valueBytes);
  const longestTurn = watchTurns();
  const snapshot = await from.snapshot();
  const staging = await to.stage(snapshot.meta, snapshot.seal);
  for await (const each of new SnapshotReader().read(new SnapshotWriter(snapshot).chunks())) await staging.write(each);
  await staging.finish();
  const begun = performance.now();
  await staging.commit();
  const values = { "longest turn": longestTurn(), "applying stood": performance.now() - begun };
  await snapshot.close();
  await from.close();
  await to.close();
  return { what: `${rows} rows of ${valueBytes} bytes`, unit: "ms", values, bar: "<= 50" };
}

const { values } = parseArgs({ options: { megabytes: { type: "string", default: "100" } } });
const root = await mkdtemp(join(tmpdir(), "roadstead-turns-"));
try {
  const rows: Row[] = [];
  for (const valueBytes of VALUE_BYTES) rows.push(await measure(root, Number(values.megabytes), valueBytes));
  process.stdout.write(`${table(rows, ["longest turn", "applying stood"])}\n`);
} finally {
  await rm(root, { recursive: true, force: true });
}
