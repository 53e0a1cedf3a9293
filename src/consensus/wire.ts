import { decode, encode } from "../core/codec.ts";
import type { ConfState, Entry, EntryType, Message, ProposedEntry, Snapshot, VoteReply } from "../raft/types.ts";
import type { PeerMessage } from "./transport.ts";

// Positional msgpack: [kind or message type, from, to, term, fields..]. The protocol's id carries the version.

const KINDS = ["proposal", "notLeader", "ping", "pong", "seal", "proposalRefused"] as const;
const TYPES = [
  "propose",
  "append",
  "appendReply",
  "vote",
  "preVote",
  "voteReply",
  "preVoteReply",
  "heartbeat",
  "heartbeatReply",
  "snapshot",
  "transferLeader",
  "timeoutNow",
  "readIndex",
  "readIndexReply",
] as const satisfies readonly Message["type"][];
/** Numbers of Raft messages begin here, below are kinds. */
const RAFT = 16;
const ENTRY_TYPES: readonly EntryType[] = ["normal", "confChange", "confChangeV2"];

type Fields = readonly unknown[];

export function encodePeerMessage(message: PeerMessage): Uint8Array {
  return encode(fieldsOf(message));
}

/** Several messages as one. */
export function encodeFrame(messages: readonly PeerMessage[]): Uint8Array {
  return encode(messages.map(fieldsOf));
}

function fieldsOf(message: PeerMessage): Fields {
  switch (message.kind) {
    case "raft": {
      const raft = message.message;
      return [RAFT + TYPES.indexOf(raft.type), raft.from, raft.to, raft.term, ...raftFields(raft)];
    }
    case "proposal":
      return [0, message.envelope];
    case "notLeader":
      return [1, message.leader];
    case "ping":
      return [2];
    case "pong":
      return [3];
    case "seal":
      return [4, message.index, message.seal];
    case "proposalRefused":
      return [5, message.envelope, message.reason];
  }
}

/** @throws TypeError where the bytes are no message: the stream cannot be trusted further */
export function decodePeerMessage(bytes: Uint8Array): PeerMessage {
  return messageOf(list(decode(bytes)));
}

/** @throws TypeError where any of it is no message */
export function decodeFrame(bytes: Uint8Array): PeerMessage[] {
  return list(decode(bytes)).map((fields) => messageOf(list(fields)));
}

function messageOf(fields: Fields): PeerMessage {
  const code = natural(fields[0]);
  if (code >= RAFT) return { kind: "raft", message: decodeRaft(code - RAFT, fields) };
  const kind = KINDS[code];
  switch (kind) {
    case "proposal":
      return { kind, envelope: binary(fields[1]) };
    case "notLeader":
      return { kind, leader: natural(fields[1]) };
    case "ping":
    case "pong":
      return { kind };
    case "seal":
      return { kind, index: natural(fields[1]), seal: binary(fields[2]) };
    case "proposalRefused":
      return { kind, envelope: binary(fields[1]), reason: text(fields[2]) };
    default:
      throw new TypeError(`A peer sent a message of the unknown kind ${code}.`);
  }
}

function raftFields(message: Message): Fields {
  switch (message.type) {
    case "propose":
      return [message.entries.map((entry) => [ENTRY_TYPES.indexOf(entry.type), entry.data ?? null])];
    case "append":
      return [message.prevIndex, message.prevTerm, message.commit, packEntries(message.entries)];
    case "appendReply":
      return [message.index, message.rejected, message.hintIndex, message.hintTerm];
    case "vote":
    case "preVote":
      return [message.lastIndex, message.lastTerm, message.transfer];
    case "voteReply":
    case "preVoteReply":
      return message.committed === undefined ? [message.rejected] : [message.rejected, message.committed.index, message.committed.term];
    case "heartbeat":
      return [message.commit, message.read];
    case "heartbeatReply":
      return [message.read];
    case "snapshot":
      return encodeSnapshot(message.snapshot);
    case "transferLeader":
    case "timeoutNow":
      return [];
    case "readIndex":
      return [message.context];
    case "readIndexReply":
      return [message.index, message.context];
  }
}

function decodeRaft(at: number, fields: Fields): Message {
  const type = TYPES[at];
  const head = { from: natural(fields[1]), to: natural(fields[2]), term: natural(fields[3]) };
  const a = fields[4];
  const b = fields[5];
  const c = fields[6];
  const d = fields[7];
  switch (type) {
    case "propose":
      return { type, ...head, entries: list(a).map(proposed) };
    case "append":
      return {
        type,
        ...head,
        prevIndex: natural(a),
        prevTerm: natural(b),
        commit: natural(c),
        entries: unpackEntries(natural(a), list(d)),
      };
    case "appendReply":
      return { type, ...head, index: natural(a), rejected: flag(b), hintIndex: natural(c), hintTerm: natural(d) };
    case "vote":
    case "preVote":
      return { type, ...head, lastIndex: natural(a), lastTerm: natural(b), transfer: flag(c) };
    case "voteReply":
    case "preVoteReply":
      return { type, ...head, rejected: flag(a), ...committedIn(b, c) };
    case "heartbeat":
      return { type, ...head, commit: natural(a), read: natural(b) };
    case "heartbeatReply":
      return { type, ...head, read: natural(a) };
    case "snapshot":
      return { type, ...head, snapshot: decodeSnapshot([a, b, c, d]) };
    case "transferLeader":
    case "timeoutNow":
      return { type, ...head };
    case "readIndex":
      return { type, ...head, context: binary(a) };
    case "readIndexReply":
      return { type, ...head, index: natural(a), context: binary(b) };
    default:
      throw new TypeError(`A peer sent a Raft message of the unknown type ${at}.`);
  }
}

function committedIn(index: unknown, term: unknown): Pick<VoteReply, "committed"> {
  return index === undefined ? {} : { committed: { index: natural(index), term: natural(term) } };
}

/** Entries follow `prevIndex` one by one, so their indexes are not sent: [term, type, data] each, flat. */
function packEntries(entries: readonly Entry[]): unknown[] {
  const packed: unknown[] = [];
  for (const entry of entries) packed.push(entry.term, ENTRY_TYPES.indexOf(entry.type), entry.data ?? null);
  return packed;
}

function unpackEntries(prevIndex: number, packed: Fields): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at < packed.length; at += 3) {
    entries.push({ index: prevIndex + 1 + entries.length, term: natural(packed[at]), ...proposed([packed[at + 1], packed[at + 2]]) });
  }
  return entries;
}

function proposed(value: unknown): ProposedEntry {
  const [at, data] = list(value);
  const type = ENTRY_TYPES[natural(at)];
  if (type === undefined) throw new TypeError("A peer sent an entry of an unknown type.");
  return { type, data: data === null ? undefined : binary(data) };
}

export function encodeSnapshot(snapshot: Snapshot): Fields {
  return [snapshot.meta.index, snapshot.meta.term, snapshot.meta.confState, snapshot.data];
}

/** @throws TypeError */
export function decodeSnapshot(fields: Fields): Snapshot {
  const [index, term, confState, data] = fields;
  return { meta: { index: natural(index), term: natural(term), confState: decodeConfState(confState) }, data: binary(data) };
}

function decodeConfState(value: unknown): ConfState {
  const state = value as Record<keyof ConfState, unknown>;
  const ids = (field: unknown): number[] => list(field).map(natural);
  return {
    voters: ids(state.voters),
    votersOutgoing: ids(state.votersOutgoing),
    learners: ids(state.learners),
    learnersNext: ids(state.learnersNext),
    autoLeave: flag(state.autoLeave),
  };
}

function natural(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new TypeError("A peer sent a message with a number that is none.");
}

function flag(value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw new TypeError("A peer sent a message with a flag that is none.");
}

function text(value: unknown): string {
  if (typeof value === "string") return value;
  throw new TypeError("A peer sent a message with a text that is none.");
}

function list(value: unknown): Fields {
  if (Array.isArray(value)) return value;
  throw new TypeError("A peer sent a message with a list that is none.");
}

/** A copy, a short one in Node's pool: the decoder's result lies in the buffer of the whole frame, which an entry in memory would keep alive. */
function binary(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return Buffer.from(value);
  throw new TypeError("A peer sent a message with bytes that are none.");
}
