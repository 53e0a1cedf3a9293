import { setTimeout as pause } from "node:timers/promises";
import { Command } from "commander";
import { callAdmin, type Door, doorOf, withDoor } from "./admin-client.ts";
import { Failure } from "./failure.ts";
import type { Terminal } from "./program.ts";
import { type ClusterStatus, STATUS_PATH } from "./status.ts";
import { renderTable } from "./table.ts";

const RECOVERY_PATH = "/_roadstead/v1/recovery";
const LOST_PATH = "/_roadstead/v1/blobs/lost";
const LOOK_MS = 500;
/** The survivor that was chosen starts again at once; the others hear of it within some seconds. */
const PATIENCE_MS = 120_000;

/** The admin door's answer. */
export interface RecoveryPlan {
  readonly clusterId: string;
  readonly chosen: string;
  readonly survivors: readonly {
    readonly name: string;
    readonly lastTerm: number;
    readonly lastIndex: number;
    readonly appliedIndex: number;
  }[];
  readonly lost: readonly { readonly name: string; readonly http: string }[];
  readonly lostBlobs: number;
}

interface DoorOptions {
  readonly data?: string;
  readonly server?: string;
  readonly json?: boolean;
}

interface LostBlob {
  readonly digest: string;
  readonly repositories: readonly string[];
}

/** The commands for after a disaster. */
export function recoverCommands(terminal: Terminal): readonly Command[] {
  return [
    withDoor(
      new Command("recover").description(
        "Make a new cluster of what is left, where most voters are lost for good. Ask one survivor that runs.",
      ),
    )
      .option("--yes-i-have-lost <names>", "the nodes that do not answer, with commas between: for scripts, in place of the question")
      .option("--dry-run", "show what would be done, and end")
      .action(async (options: DoorOptions & { yesIHaveLost?: string; dryRun?: boolean }) => {
        const door = doorOf(options, terminal.environment);
        const plan = (await callAdmin(door, "GET", RECOVERY_PATH)) as RecoveryPlan;
        if (options.dryRun === true) return terminal.print(options.json === true ? json(plan) : renderPlan(plan));
        if (options.json !== true) terminal.print(renderPlan(plan));
        const lost = await confirm(terminal, plan, options.yesIHaveLost);
        await callAdmin(door, "POST", RECOVERY_PATH, { clusterId: plan.clusterId, lost });
        const status = await followRecovery(terminal, door, plan);
        terminal.print(options.json === true ? json(status) : renderRecovered(plan, status));
      }),
    withDoor(new Command("lost").description("List the blobs of which no node holds a copy, and the repositories that have them.")).action(
      async (options: DoorOptions) => {
        const { blobs } = (await callAdmin(doorOf(options, terminal.environment), "GET", LOST_PATH)) as { blobs: readonly LostBlob[] };
        terminal.print(options.json === true ? json(blobs) : renderLost(blobs));
      },
    ),
  ];
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** What is lost is confirmed by its names, or by typing the cluster's id under the list of them. @throws Failure, with nothing done */
export async function confirm(terminal: Pick<Terminal, "ask">, plan: RecoveryPlan, given: string | undefined): Promise<readonly string[]> {
  const lost = plan.lost.map(({ name }) => name);
  if (given !== undefined) {
    const names = given.split(",").map((name) => name.trim());
    if ([...names].sort().join() === [...lost].sort().join()) return names;
    throw new Failure(`the nodes that do not answer are ${lost.join(",")}, and --yes-i-have-lost says ${given}: nothing was done`);
  }
  const [start = plan.clusterId] = plan.clusterId.split("-");
  const answer = await terminal.ask(`Type ${start}, the first part of the cluster's id, to give up ${lost.join(" and ")} for good: `);
  if (answer === undefined) throw new Failure(`nobody can be asked here: give --yes-i-have-lost ${lost.join(",")}`);
  if (answer.trim() !== start && answer.trim() !== plan.clusterId) throw new Failure("that is not the cluster's id: nothing was done");
  return lost;
}

/** Until the node that was asked is in the new cluster, and that has a leader. */
async function followRecovery(terminal: Terminal, door: Door, plan: RecoveryPlan): Promise<ClusterStatus> {
  terminal.progress(`${plan.chosen} starts again as the beginning of the new cluster ..`, true);
  for (const untilMs = performance.now() + PATIENCE_MS; performance.now() < untilMs; await pause(LOOK_MS)) {
    try {
      const status = (await callAdmin(door, "GET", STATUS_PATH)) as ClusterStatus;
      if (status.clusterId !== plan.clusterId && status.leader !== undefined) return status;
    } catch (error) {
      if (!(error instanceof Failure)) throw error; // it is between its two starts
    }
  }
  throw new Failure(
    `the recovery was ordered, and this node is not in the new cluster after ${PATIENCE_MS / 1_000} s: the log of ${plan.chosen} says why`,
  );
}

export function renderPlan(plan: RecoveryPlan): string {
  const { clusterId, chosen, survivors, lost, lostBlobs } = plan;
  const rows = survivors.map(({ name, lastTerm, lastIndex, appliedIndex }) => [
    name,
    String(lastTerm),
    String(lastIndex),
    String(appliedIndex),
    name === chosen ? "the cluster goes on from here" : "follows",
  ]);
  const gone = lost.map(({ name, http }) => [name, "-", "-", "-", `does not answer (${http}): LOST`]);
  const blobs =
    lostBlobs === 0
      ? "As far as this node knows, each blob has a copy on a survivor."
      : `${lostBlobs} ${lostBlobs === 1 ? "blob has its" : "blobs have their"} only copies on nodes that are lost.`;
  return `The cluster ${clusterId} has no quorum.

${renderTable([["NAME", "LAST TERM", "LAST INDEX", "APPLIED", ""], ...rows, ...gone])}
${blobs}

A recovery makes a new cluster of the survivors, with a new id, secret and key: join tokens are void, and the lost nodes are out for good.
Those that come back are told so and end; one that cannot be reached from here cannot be told. If the others are alive and only cut off, do
NOT recover: they go on by themselves where they are a quorum, they END as soon as they meet the new cluster, and what was pushed to them
meanwhile lies on their disks alone.
`;
}

function renderRecovered({ lost }: RecoveryPlan, { clusterId, leader, nodes, warnings }: ClusterStatus): string {
  const names = nodes.map(({ name }) => name).join(", ");
  return `Recovered: the cluster is ${clusterId} now, ${leader ?? "nobody"} leads, its nodes are ${names}.
${warnings.map((warning) => `! ${warning}\n`).join("")}
Next: for each node that is lost, empty its data folder and join it anew with \`roadstead token create\` (${lost.map(({ name }) => name).join(", ")}).
`;
}

function renderLost(blobs: readonly LostBlob[]): string {
  if (blobs.length === 0) return "No blob is lost: each has a copy on some node.\n";
  return renderTable([["DIGEST", "REPOSITORIES"], ...blobs.map(({ digest, repositories }) => [digest, repositories.join(" ")])]);
}
