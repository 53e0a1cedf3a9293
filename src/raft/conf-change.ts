import type { EntryType, NodeId } from "./types.ts";

export type ConfChangeType = "addNode" | "removeNode" | "updateNode" | "addLearner";

/** How a change of more than one voter passes through a joint configuration (dissertation, 4.3). */
export type Transition =
  | "auto" // one operation: directly; more: joint, left by the leader itself
  | "jointImplicit" // joint, left by the leader itself
  | "jointExplicit"; // joint, until an empty change is proposed

export interface ConfChangeSingle {
  readonly type: ConfChangeType;
  /** 0 is ignored. */
  readonly nodeId: NodeId;
}

/** With no operation and transition `auto`: the change that leaves a joint configuration. */
export interface ConfChange {
  readonly transition: Transition;
  readonly changes: readonly ConfChangeSingle[];
  /** Opaque to the core, e.g. the address of the node that joins. */
  readonly context: Uint8Array | undefined;
}

export const LEAVE_JOINT: ConfChange = { transition: "auto", changes: [], context: undefined };

const FORMAT = 1;
const TRANSITIONS: readonly Transition[] = ["auto", "jointImplicit", "jointExplicit"];
const TYPES: readonly ConfChangeType[] = ["addNode", "removeNode", "updateNode", "addLearner"];
const CHANGE_BYTES = 9;
const HEAD_BYTES = 4;

export function isConfChange(type: EntryType): boolean {
  return type !== "normal";
}

/** Format byte, transition, count (2 bytes), a type and a 64-bit id for each change, then the context. Big-endian. */
export function encodeConfChange(change: ConfChange): Uint8Array {
  const context = change.context;
  const bytes = new Uint8Array(HEAD_BYTES + change.changes.length * CHANGE_BYTES + (context?.length ?? 0));
  const view = new DataView(bytes.buffer);
  bytes[0] = FORMAT;
  bytes[1] = TRANSITIONS.indexOf(change.transition);
  view.setUint16(2, change.changes.length);
  let at = HEAD_BYTES;
  for (const { type, nodeId } of change.changes) {
    bytes[at] = TYPES.indexOf(type);
    view.setBigUint64(at + 1, BigInt(nodeId));
    at += CHANGE_BYTES;
  }
  if (context !== undefined) bytes.set(context, at);
  return bytes;
}

/**
 * @param data of an entry of a conf change type; undefined is the change that leaves a joint configuration
 * @returns undefined where the bytes are no conf change: to be refused, the same on every node
 */
export function decodeConfChange(data: Uint8Array | undefined): ConfChange | undefined {
  if (data === undefined || data.length === 0) return LEAVE_JOINT;
  if (data.length < HEAD_BYTES || data[0] !== FORMAT) return undefined;
  const transition = TRANSITIONS[data[1] ?? 0];
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const count = view.getUint16(2);
  const end = HEAD_BYTES + count * CHANGE_BYTES;
  if (transition === undefined || data.length < end) return undefined;
  const changes: ConfChangeSingle[] = [];
  for (let at = HEAD_BYTES; at < end; at += CHANGE_BYTES) {
    const type = TYPES[view.getUint8(at)];
    const nodeId = Number(view.getBigUint64(at + 1));
    if (type === undefined || !Number.isSafeInteger(nodeId)) return undefined;
    changes.push({ type, nodeId });
  }
  return { transition, changes, context: data.length > end ? data.slice(end) : undefined };
}

export function leavesJoint(change: ConfChange): boolean {
  return change.transition === "auto" && change.changes.length === 0;
}

/** Whether the change enters a joint configuration, and then whether the leader leaves it by itself. */
export function entersJoint(change: ConfChange): { readonly autoLeave: boolean } | undefined {
  if (change.transition === "auto" && change.changes.length <= 1) return undefined;
  return { autoLeave: change.transition !== "jointExplicit" };
}
