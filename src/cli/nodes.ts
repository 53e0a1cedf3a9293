import { setTimeout as pause } from "node:timers/promises";
import { Command } from "commander";
import { callAdmin, type Door, doorOf, withDoor } from "./admin-client.ts";
import { Failure } from "./failure.ts";
import type { Terminal } from "./program.ts";
import { renderProgress } from "./progress.ts";
import { type ClusterStatus, type NodeStatus, STATUS_PATH, stateOf } from "./status.ts";
import { formatBytes, renderTable } from "./table.ts";

interface DoorOptions {
  readonly data?: string;
  readonly server?: string;
  readonly json?: boolean;
}

interface NodeChange {
  readonly node: string;
  readonly copies: number;
}

const NODES = "/_roadstead/v1/nodes";
const LEADER_PATH = "/_roadstead/v1/leader";
const LOOK_MS = 1_000;

/** The commands that show nodes and change them. */
export function nodeCommands(terminal: Terminal): readonly Command[] {
  return [
    withDoor(new Command("nodes").description("List the nodes: where each is reached, and what it holds.")).action(
      async (options: DoorOptions) => {
        const status = await readStatus(doorOf(options, terminal.environment));
        terminal.print(options.json === true ? json(status.nodes) : renderNodes(status));
      },
    ),
    drainCommand(terminal),
    withDoor(new Command("undrain").description("Take a drain back: the node takes copies again."))
      .argument("<node>", "its name, or its peer id")
      .action(async (node: string, options: DoorOptions) => {
        const change = await post<NodeChange>(doorOf(options, terminal.environment), `${NODES}/undrain`, { node });
        terminal.print(options.json === true ? json(change) : `${change.node} takes copies again.\n`);
      }),
    removeCommand(terminal),
    withDoor(new Command("transfer-leader").description("Hand leadership to another voter, before maintenance of the leader say."))
      .argument("[node]", "the voter that is to lead; without it the one that has applied most")
      .action(async (node: string | undefined, options: DoorOptions) => {
        const answer = await post<{ leader: string }>(
          doorOf(options, terminal.environment),
          LEADER_PATH,
          node === undefined ? {} : { node },
        );
        terminal.print(options.json === true ? json(answer) : `${answer.leader} leads.\n`);
      }),
  ];
}

function drainCommand(terminal: Terminal): Command {
  return withDoor(new Command("drain").description("Move a node's copies to the others; it goes on serving, and takes no new ones."))
    .argument("<node>", "its name, or its peer id")
    .option("--wait", "show the progress until nothing is left on it")
    .action(async (node: string, options: DoorOptions & { wait?: boolean }) => {
      const door = doorOf(options, terminal.environment);
      const change = await post<NodeChange>(door, `${NODES}/drain`, { node });
      if (options.wait === true) await followDrain(terminal, door, change, options.json === true);
      if (options.json === true) terminal.print(json(options.wait === true ? { ...change, copies: 0 } : change));
      else terminal.print(renderDrain(change, options.wait === true));
    });
}

function removeCommand(terminal: Terminal): Command {
  return withDoor(new Command("remove").description("Take a node out of the cluster for good: one that is drained, or dead."))
    .argument("<node>", "its name, or its peer id")
    .option("--lost", "give up blobs that lie on it alone")
    .option("--force", "also where it is alive and holds copies: the others make them again from their own")
    .action(async (node: string, options: DoorOptions & { lost?: boolean; force?: boolean }) => {
      const { lost = false, force = false } = options;
      const change = await post<NodeChange>(doorOf(options, terminal.environment), `${NODES}/remove`, { node, lost, force });
      terminal.print(options.json === true ? json(change) : renderRemoved(change));
    });
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

async function post<T>(door: Door, path: string, body: unknown): Promise<T> {
  return (await callAdmin(door, "POST", path, body)) as T;
}

async function readStatus(door: Door): Promise<ClusterStatus> {
  return (await callAdmin(door, "GET", STATUS_PATH)) as ClusterStatus;
}

/** A line each second, on a terminal the same one anew, until the catalog lists no copy of it. */
async function followDrain(terminal: Terminal, door: Door, change: NodeChange, quiet: boolean): Promise<void> {
  const begunMs = performance.now();
  let wholeBytes: number | undefined;
  for (;;) {
    const node = (await readStatus(door)).nodes.find(({ name }) => name === change.node);
    if (node === undefined) throw new Failure(`${change.node} is no node of the cluster any more`);
    if (!node.draining) throw new Failure(`${change.node} drains no more: the drain was taken back`);
    wholeBytes ??= node.copyBytes;
    // a push through it may lay some on it for a moment
    const done = { items: Math.max(0, change.copies - node.copies), bytes: Math.max(0, wholeBytes - node.copyBytes) };
    const whole = { items: change.copies, bytes: wholeBytes };
    if (!quiet) terminal.progress(renderProgress("copies", done, whole, performance.now() - begunMs), node.copies === 0);
    if (node.copies === 0) return;
    await pause(LOOK_MS);
  }
}

function renderDrain({ node, copies }: NodeChange, waited: boolean): string {
  if (waited || copies === 0) return `Nothing lies on ${node} any more. Stop it, then: roadstead remove ${node}\n`;
  return `${node} drains: ${copies} ${copies === 1 ? "copy" : "copies"} to move. Follow it with: roadstead drain ${node} --wait\n`;
}

function renderRemoved({ node, copies }: NodeChange): string {
  const next = copies === 0 ? "" : ` The others make its ${copies} ${copies === 1 ? "copy" : "copies"} again.`;
  return `${node} is no member any more.${next} It joins again with an empty data folder and a new token only.\n`;
}

export function renderNodes({ nodes, leader }: ClusterStatus): string {
  const rows = nodes.map((node: NodeStatus) => [
    node.name,
    node.name === leader ? "leader" : node.role,
    stateOf(node),
    node.zone || "-",
    String(node.copies),
    node.bytes === undefined ? "-" : formatBytes(node.bytes),
    node.disk === undefined ? "-" : formatBytes(node.disk.freeBytes),
    node.http,
    node.addresses.join(" "),
  ]);
  return renderTable([["NAME", "ROLE", "STATE", "ZONE", "COPIES", "SIZE", "FREE", "HTTP", "ADDRESSES"], ...rows]);
}
