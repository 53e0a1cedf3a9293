import { setTimeout as pause } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import { callAdmin, type Door, doorOf, withDoor } from "./admin-client.ts";
import { Failure } from "./failure.ts";
import type { Terminal } from "./program.ts";
import { formatDuration } from "./progress.ts";
import { formatBytes, renderTable } from "./table.ts";

/** The admin door's answer, as far as the table shows it. */
export interface ClusterStatus {
  readonly clusterId: string;
  readonly leader?: string;
  readonly commitIndex: number;
  readonly cutOff: boolean;
  readonly nodes: readonly NodeStatus[];
  readonly underReplicated: Amount;
  readonly moving: Amount;
  readonly quarantined: number;
  readonly tasks: readonly Task[];
  readonly warnings: readonly string[];
}

interface Amount {
  readonly blobs: number;
  readonly bytes: number;
}

interface Task {
  readonly kind: "drain" | "repair" | "rebalance" | "snapshot";
  readonly node?: string;
  readonly left?: Amount;
  readonly sentBytes?: number;
  readonly bytesPerSecond: number;
  readonly msLeft?: number;
}

export interface NodeStatus {
  readonly name: string;
  readonly peerId: string;
  readonly role: string;
  readonly alive: boolean;
  readonly draining: boolean;
  readonly copies: number;
  readonly copyBytes: number;
  readonly zone: string;
  readonly http: string;
  readonly addresses: readonly string[];
  readonly appliedIndex?: number;
  readonly blobs?: number;
  readonly bytes?: number;
  readonly cutOff?: boolean;
  readonly disk?: { readonly freeBytes: number };
  readonly scrub?: { readonly running: boolean; readonly done: number; readonly endedAt?: string };
}

const WATCH_SECONDS = 2;
export const STATUS_PATH = "/_roadstead/v1/status";

export function statusCommand(terminal: Terminal): Command {
  return withDoor(new Command("status").description("Show the cluster: its leader, and each node with its role, state and load."))
    .option("--watch [seconds]", "show it anew each so many seconds (2), until Ctrl-C; with --json a line each time", readSeconds)
    .action(async (options: { data?: string; server?: string; json?: boolean; watch?: number | true }) => {
      const door = doorOf(options, terminal.environment);
      const isJson = options.json === true;
      if (options.watch !== undefined) return watchStatus(terminal, door, options.watch === true ? WATCH_SECONDS : options.watch, isJson);
      const status = await callAdmin(door, "GET", STATUS_PATH);
      terminal.print(isJson ? `${JSON.stringify(status, undefined, 2)}\n` : renderStatus(status as ClusterStatus));
    });
}

/** Until the process is ended; also through times in which the node does not answer. */
async function watchStatus(terminal: Terminal, door: Door, seconds: number, isJson: boolean): Promise<void> {
  for (;;) {
    const status = await callAdmin(door, "GET", STATUS_PATH).catch((error: unknown) => {
      if (error instanceof Failure) return error;
      throw error;
    });
    if (isJson) terminal.print(`${JSON.stringify(status instanceof Failure ? { error: status.message } : status)}\n`);
    else terminal.page(status instanceof Failure ? `${status.message}\n` : renderStatus(status as ClusterStatus));
    await pause(seconds * 1_000);
  }
}

function readSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds >= 0.1 && seconds <= 86_400)) throw new InvalidArgumentError("Expected a number of seconds from 0.1 to 86400.");
  return seconds;
}

export function renderStatus(status: ClusterStatus): string {
  const head = renderTable([
    ["cluster", status.clusterId],
    ["leader", status.leader ?? "none"],
    ["commit index", String(status.commitIndex)],
    ...counts(status),
  ]);
  const rows = status.nodes.map((node) => [
    node.name,
    node.name === status.leader ? "leader" : node.role,
    stateOf(node),
    node.zone || "-",
    node.appliedIndex === undefined ? "-" : String(node.appliedIndex),
    node.blobs === undefined ? "-" : String(node.blobs),
    node.bytes === undefined ? "-" : formatBytes(node.bytes),
    node.disk === undefined ? "-" : formatBytes(node.disk.freeBytes),
    scrubbed(node),
    node.http,
    node.peerId,
  ]);
  const table = renderTable([
    ["NAME", "ROLE", "STATE", "ZONE", "APPLIED", "BLOBS", "SIZE", "FREE", "SCRUBBED", "HTTP", "PEER ID"],
    ...rows,
  ]);
  const notes = [...(status.cutOff ? ["this node is cut off from the majority: what it says may be old"] : []), ...status.warnings];
  const tasks = status.tasks.map((task) => `${renderTask(task)}\n`).join("");
  return `${head}\n${table}${tasks === "" ? "" : `\n${tasks}`}${notes.length === 0 ? "" : `\n${notes.map((note) => `! ${note}\n`).join("")}`}`;
}

/** What is out of place; nothing where all is as it should be. */
function counts({ underReplicated, moving, quarantined }: ClusterStatus): string[][] {
  const told = ({ blobs, bytes }: Amount): string => `${blobs} ${blobs === 1 ? "blob" : "blobs"}, ${formatBytes(bytes)} to send`;
  return [
    ...(underReplicated.blobs === 0 ? [] : [["short of copies", told(underReplicated)]]),
    ...(moving.blobs === 0 ? [] : [["moving", told(moving)]]),
    ...(quarantined === 0 ? [] : [["quarantined", `${quarantined} bad ${quarantined === 1 ? "copy" : "copies"}`]]),
  ];
}

/** When every blob on it was last read again, or how far that is. */
function scrubbed({ scrub }: NodeStatus): string {
  if (scrub?.running === true) return `${Math.floor(scrub.done * 100)} %`;
  return scrub?.endedAt?.slice(0, 16).replace("T", " ") ?? "-";
}

const DOING = { repair: "copies are made again", rebalance: "copies move to where they belong" } as const;

function renderTask({ kind, node, left, sentBytes = 0, bytesPerSecond, msLeft }: Task): string {
  const rate = bytesPerSecond === 0 ? "" : `, ${formatBytes(bytesPerSecond)}/s`;
  const time = msLeft === undefined ? "" : `, ${formatDuration(msLeft)} left`;
  if (left === undefined) return `> ${node} is sent the catalog: ${formatBytes(sentBytes)}${rate}`;
  const what = kind === "drain" || kind === "snapshot" ? `${node} drains` : DOING[kind];
  return `> ${what}: ${left.blobs} ${left.blobs === 1 ? "blob" : "blobs"}, ${formatBytes(left.bytes)}${rate}${time}`;
}

/** In one word or two, for a table. */
export function stateOf({ alive, cutOff, draining, copies }: NodeStatus): string {
  if (!alive) return "down";
  if (cutOff === true) return "cut off";
  if (draining) return copies === 0 ? "drained" : "draining";
  return "alive";
}
