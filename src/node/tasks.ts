import type { Amount, Task } from "../http/admin.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { UpkeepVitals } from "./upkeep-vitals.ts";

const NOTHING: Amount = { blobs: 0, bytes: 0 };

/** What is out of place and under way in the whole cluster, from what the nodes that answer say. */
export interface Work {
  readonly underReplicated: Amount;
  readonly moving: Amount;
  readonly quarantined: number;
  readonly tasks: readonly Task[];
}

/**
 * @param own this node's own answer: each one counts what is short from its catalog, which all have alike
 * @param answers of all that answered, this one included
 */
export function workOf(catalog: Catalog, own: UpkeepVitals | undefined, answers: readonly UpkeepVitals[]): Work {
  const moving = answers.map((answer) => answer.moving).reduce(plus, NOTHING);
  const underReplicated = own?.short ?? NOTHING;
  const repairRate = sumOf(answers, (answer) => answer.repairRate);
  const moveRate = sumOf(answers, (answer) => answer.moveRate);
  const draining = catalog.members().filter((member) => member.draining && catalog.copiesOf(member.raftId) > 0);
  const tasks = [
    ...draining.map(({ raftId, name }) => {
      const left = { blobs: catalog.copiesOf(raftId), bytes: catalog.copyBytesOf(raftId) };
      return task("drain", left, repairRate, name);
    }),
    ...(underReplicated.blobs > 0 ? [task("repair", underReplicated, repairRate)] : []),
    ...(moving.blobs > 0 ? [task("rebalance", moving, moveRate)] : []),
    ...answers.flatMap(({ snapshot }) => snapshotTask(catalog, snapshot)),
  ];
  return { underReplicated, moving, quarantined: sumOf(answers, (answer) => answer.quarantined), tasks };
}

function task(kind: Task["kind"], left: Amount, bytesPerSecond: number, node?: string): Task {
  const msLeft = bytesPerSecond > 0 ? Math.ceil((left.bytes / bytesPerSecond) * 1_000) : undefined;
  return { kind, ...(node === undefined ? {} : { node }), left, bytesPerSecond, ...(msLeft === undefined ? {} : { msLeft }) };
}

function snapshotTask(catalog: Catalog, snapshot: UpkeepVitals["snapshot"]): Task[] {
  if (snapshot === undefined) return [];
  const { to, sentBytes, tookMs } = snapshot;
  const node = catalog.member(to)?.name ?? String(to);
  return [{ kind: "snapshot", node, sentBytes, bytesPerSecond: tookMs > 0 ? Math.round((sentBytes / tookMs) * 1_000) : 0 }];
}

function plus(a: Amount, b: Amount): Amount {
  return { blobs: a.blobs + b.blobs, bytes: a.bytes + b.bytes };
}

function sumOf(answers: readonly UpkeepVitals[], read: (answer: UpkeepVitals) => number): number {
  return answers.reduce((sum, answer) => sum + read(answer), 0);
}
