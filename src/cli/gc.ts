import { setTimeout as pause } from "node:timers/promises";
import { Command } from "commander";
import { callAdmin, type Door, doorOf, withDoor } from "./admin-client.ts";
import { Failure } from "./failure.ts";
import type { Terminal } from "./program.ts";
import { formatBytes, renderTable } from "./table.ts";

const GC = "/_roadstead/v1/gc";
const LOOK_MS = 250;

interface Collected {
  readonly manifests: number;
  readonly links: number;
  readonly blobs: number;
  readonly freed: readonly { readonly node: string; readonly bytes: number }[];
}

interface CollectorStatus {
  readonly held?: string;
  readonly running: boolean;
  readonly here?: Collected;
  readonly failure?: string;
  readonly condemned: number;
  readonly awaited: readonly string[];
  readonly runs: readonly (Collected & { readonly startedAt: string; readonly endedAt: string })[];
}

export interface Verified {
  readonly manifests: number;
  readonly links: number;
  readonly blobs: number;
  readonly found: number;
  readonly findings: readonly string[];
  readonly nodes: readonly { readonly node: string; readonly files?: number; readonly copies?: number }[];
}

interface VerificationStatus {
  readonly running: boolean;
  readonly failure?: string;
  readonly last?: Verified;
}

interface DoorOptions {
  readonly data?: string;
  readonly server?: string;
  readonly json?: boolean;
}

/** The garbage collector: it runs by itself, beside pushes and pulls. */
export function gcCommand(terminal: Terminal): Command {
  const show = (options: DoorOptions, status: CollectorStatus): void =>
    terminal.print(options.json === true ? `${JSON.stringify(status, undefined, 2)}\n` : renderCollector(status));
  const doorFor = (options: DoorOptions): Door => doorOf(options, terminal.environment);
  return new Command("gc")
    .description("The garbage collector: it frees what nothing needs any more, by its schedule, while pushes and pulls go on.")
    .addCommand(
      withDoor(new Command("status").description("Show whether it runs or is held, what it waits for, and its latest runs.")).action(
        async (options: DoorOptions) => show(options, (await callAdmin(doorFor(options), "GET", GC)) as CollectorStatus),
      ),
    )
    .addCommand(
      withDoor(new Command("run").description("Free now what may go, and show it."))
        .option("--dry-run", "only say what would be freed")
        .action(async (options: DoorOptions & { dryRun?: boolean }) => {
          const door = doorFor(options);
          const done =
            options.dryRun === true ? ((await callAdmin(door, "GET", `${GC}/foresee`)) as Collected) : await run(terminal, door, options);
          terminal.print(
            options.json === true ? `${JSON.stringify(done, undefined, 2)}\n` : renderCollected(done, options.dryRun === true),
          );
        }),
    )
    .addCommand(
      withDoor(
        new Command("verify").description(
          "Compare the catalog's counts with its manifests, and the disks of all nodes with it; exit code 1 where they differ.",
        ),
      ).action(async (options: DoorOptions) => {
        const verified = await verify(doorFor(options));
        terminal.print(options.json === true ? `${JSON.stringify(verified, undefined, 2)}\n` : renderVerified(verified));
        if (verified.found > 0)
          throw new Failure(`${verified.found} things are not as they must be: \`roadstead gc hold\` until they are understood`);
      }),
    )
    .addCommand(
      withDoor(new Command("hold").description("Delete nothing anywhere, until it is released."))
        .option("--reason <text>", "for whoever asks why", "")
        .action(async (options: DoorOptions & { reason: string }) =>
          show(options, (await callAdmin(doorFor(options), "POST", `${GC}/hold`, { reason: options.reason })) as CollectorStatus),
        ),
    )
    .addCommand(
      withDoor(new Command("release").description("Let it go on.")).action(async (options: DoorOptions) =>
        show(options, (await callAdmin(doorFor(options), "POST", `${GC}/release`)) as CollectorStatus),
      ),
    );
}

const NOTHING: Collected = { manifests: 0, links: 0, blobs: 0, freed: [] };

/** Until the run has ended, and each node has unlinked what it condemned. */
async function run(terminal: Terminal, door: Door, { json }: DoorOptions): Promise<Collected> {
  let status = (await callAdmin(door, "POST", `${GC}/run`)) as CollectorStatus;
  for (;;) {
    const seen = status.here ?? NOTHING;
    if (status.failure !== undefined)
      throw new Failure(`the run ended before its time: ${status.failure}; what it did stands, run it again`);
    if (status.held !== undefined)
      throw new Failure(`the garbage collector was held meanwhile (${status.held}): \`roadstead gc release\` lets it go on`);
    const isOver = !status.running && status.condemned === 0;
    if (json !== true) terminal.progress(progressLine(seen, status), isOver);
    if (isOver) return seen;
    await pause(LOOK_MS);
    status = (await callAdmin(door, "GET", GC)) as CollectorStatus;
  }
}

async function verify(door: Door): Promise<Verified> {
  let status = (await callAdmin(door, "POST", `${GC}/verify`)) as VerificationStatus;
  while (status.running) {
    await pause(LOOK_MS);
    status = (await callAdmin(door, "GET", `${GC}/verify`)) as VerificationStatus;
  }
  if (status.failure !== undefined || status.last === undefined)
    throw new Failure(`it ended before its time: ${status.failure ?? "the node was stopped"}; try again`);
  return status.last;
}

export function renderVerified({ manifests, links, blobs, found, findings, nodes }: Verified): string {
  const rows = nodes.map(({ node, files, copies }) => [
    node,
    files === undefined ? "no answer" : String(files),
    copies === undefined ? "-" : String(copies),
  ]);
  const table = renderTable([["NODE", "FILES", "COPIES"], ...rows]);
  const end = found === 0 ? "All agree.\n" : findings.map((finding) => `! ${finding}\n`).join("");
  return `${manifests} manifests, ${links} links and ${blobs} blobs were looked at.\n\n${table}\n${end}`;
}

function progressLine({ manifests, links, blobs }: Collected, { running, condemned, awaited }: CollectorStatus): string {
  const found = `${manifests} manifests, ${links} links, ${blobs} blobs`;
  if (running) return `collecting: ${found}`;
  return condemned === 0
    ? `collected: ${found}`
    : `collected: ${found}; ${condemned} blobs are yet to be unlinked by ${awaited.join(", ")}`;
}

export function renderCollected({ manifests, links, blobs, freed }: Collected, isDry: boolean): string {
  const verb = isDry ? "would be " : "";
  const head = `${manifests} manifests ${verb}purged, ${links} links and ${blobs} blobs ${verb}removed.\n`;
  if (freed.length === 0) return head;
  return `${head}${renderTable([["NODE", isDry ? "TO BE FREED" : "FREED"], ...freed.map(({ node, bytes }) => [node, formatBytes(bytes)])])}`;
}

export function renderCollector(status: CollectorStatus): string {
  const { held, running, failure, condemned, awaited, runs } = status;
  const state = held !== undefined ? `held: ${held}` : running ? "runs on this node" : "waits for its time";
  const lines = [
    ["collector", state],
    ["condemned", condemned === 0 ? "0" : `${condemned}, awaited from ${awaited.join(", ") || "the leader"}`],
    ...(failure === undefined ? [] : [["last run here", `ended before its time: ${failure}`]]),
  ];
  const freedBy = (run: Collected): string => formatBytes(run.freed.reduce((sum, { bytes }) => sum + bytes, 0));
  const rows = runs.map((run) => [run.startedAt, String(run.manifests), String(run.links), String(run.blobs), freedBy(run)]);
  return `${renderTable(lines)}${runs.length === 0 ? "" : `\n${renderTable([["RUN", "MANIFESTS", "LINKS", "BLOBS", "FREED"], ...rows])}`}`;
}
