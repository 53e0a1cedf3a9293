import { decodeConfChange } from "../../src/raft/conf-change.ts";
import { describeConfState, describeId, messageName, roleName } from "../../src/raft/text.ts";
import type {
  Entry,
  HardState,
  Message,
  ReadState,
  Ready,
  Snapshot,
  StorageAppend,
  StorageApply,
  StorageReply,
} from "../../src/raft/types.ts";
import { formatOperations } from "./operations.ts";

/** A message on its way, as the transcripts know them: storage's work and answers are messages too. */
export type WireMessage = Message | StorageReply;

interface Parts {
  readonly from: string;
  readonly to: string;
  readonly name: string;
  readonly term?: number;
  readonly logTerm?: number;
  readonly index?: number;
  readonly rejectedHint?: number | undefined;
  readonly commit?: number;
  readonly vote?: number;
  readonly entries?: readonly string[];
  readonly snapshot?: Snapshot | undefined;
  readonly responses?: readonly WireMessage[];
}

/** Every type that a directive may name, also those that never are on their way. */
export const MESSAGE_TYPES: readonly string[] = [
  ...["MsgHup", "MsgBeat", "MsgProp", "MsgApp", "MsgAppResp", "MsgVote", "MsgVoteResp", "MsgSnap", "MsgHeartbeat", "MsgHeartbeatResp"],
  ...["MsgUnreachable", "MsgSnapStatus", "MsgCheckQuorum", "MsgTransferLeader", "MsgTimeoutNow", "MsgReadIndex", "MsgReadIndexResp"],
  ...["MsgPreVote", "MsgPreVoteResp", "MsgStorageAppend", "MsgStorageAppendResp", "MsgStorageApply", "MsgStorageApplyResp"],
  "MsgForgetLeader",
];

const ENTRY_NAMES = { normal: "EntryNormal", confChange: "EntryConfChange", confChangeV2: "EntryConfChangeV2" } satisfies Record<
  Entry["type"],
  string
>;

export function formatEntry({ term, index, type, data }: Entry): string {
  const head = `${term}/${index} ${ENTRY_NAMES[type]}`;
  if (type === "normal") return `${head} ${quote(data ?? new Uint8Array(0))}`;
  const change = decodeConfChange(data);
  const text = change === undefined ? "undecodable" : formatOperations(change.changes);
  return text === "" ? head : `${head} ${text}`;
}

export function formatEntries(entries: readonly Entry[]): string {
  return entries.map((entry) => `${formatEntry(entry)}\n`).join("");
}

export function formatMessage(message: WireMessage): string {
  return formatParts(partsOf(message), "");
}

export function formatStorageAppend(node: number, work: StorageAppend): string {
  const { hardState, entries, snapshot, responses } = work;
  const parts: Parts = {
    from: describeId(node),
    to: "AppendThread",
    name: "MsgStorageAppend",
    ...(hardState === undefined ? {} : hardState),
    entries: entries.map(formatEntry),
    snapshot,
    responses,
  };
  return formatParts(parts, "");
}

export function formatStorageApply(node: number, { entries, responses }: StorageApply): string {
  return formatParts(
    { from: describeId(node), to: "ApplyThread", name: "MsgStorageApply", entries: entries.map(formatEntry), responses },
    "",
  );
}

export function formatHardState({ term, vote, commit }: HardState): string {
  return `Term:${term}${vote === 0 ? "" : ` Vote:${vote}`} Commit:${commit}`;
}

export function formatSnapshot({ meta }: Snapshot): string {
  return `Index:${meta.index} Term:${meta.term} ConfState:${describeConfState(meta.confState)}`;
}

export function formatReady(node: number, ready: Ready): string {
  const { softState, hardState, readStates, entries, snapshot, committedEntries, messages, storageAppend, storageApply } = ready;
  let text = "";
  if (softState !== undefined) text += `Lead:${softState.leader} State:${roleName(softState.role)}\n`;
  if (hardState !== undefined) text += `HardState ${formatHardState(hardState)}\n`;
  if (readStates.length > 0) text += `ReadStates [${readStates.map(formatReadState).join(" ")}]\n`;
  if (entries.length > 0) text += `Entries:\n${formatEntries(entries)}`;
  if (snapshot !== undefined) text += `Snapshot ${formatSnapshot(snapshot)}\n`;
  if (committedEntries.length > 0) text += `CommittedEntries:\n${formatEntries(committedEntries)}`;
  const lines = messages.map(formatMessage);
  if (storageAppend !== undefined) lines.push(formatStorageAppend(node, storageAppend));
  if (storageApply !== undefined) lines.push(formatStorageApply(node, storageApply));
  if (lines.length > 0) text += `Messages:\n${lines.map((line) => `${line}\n`).join("")}`;
  return text === "" ? "<empty Ready>" : `Ready MustSync=${ready.mustSync}:\n${text}`;
}

function formatReadState({ index, context }: ReadState): string {
  return `{${index} [${context.join(" ")}]}`;
}

function formatParts(parts: Parts, indent: string): string {
  const {
    from,
    to,
    name,
    term = 0,
    logTerm = 0,
    index = 0,
    rejectedHint,
    commit = 0,
    vote = 0,
    entries = [],
    snapshot,
    responses = [],
  } = parts;
  let text = `${from}->${to} ${name} Term:${term} Log:${logTerm}/${index}`;
  if (rejectedHint !== undefined) text += ` Rejected (Hint: ${rejectedHint})`;
  if (commit !== 0) text += ` Commit:${commit}`;
  if (vote !== 0) text += ` Vote:${vote}`;
  const block = (lines: readonly string[]): string => `${lines.map((line) => `\n${indent}  ${line}`).join("")}\n${indent}]`;
  if (entries.length === 1) text += ` Entries:[${entries[0]}]`;
  else if (entries.length > 1) text += ` Entries:[${block(entries)}`;
  if (snapshot !== undefined) text += `\n${indent}  Snapshot: ${formatSnapshot(snapshot)}`;
  if (responses.length > 0) text += ` Responses:[${block(responses.map((response) => formatParts(partsOf(response), `${indent}  `)))}`;
  return text;
}

function partsOf(message: WireMessage): Parts {
  const to = target(message.to);
  if (message.type === "storageAppendReply") {
    const { term, index, logTerm, snapshot } = message;
    return { from: "AppendThread", to, name: "MsgStorageAppendResp", term, index, logTerm, snapshot };
  }
  if (message.type === "storageApplyReply") {
    return { from: "ApplyThread", to, name: "MsgStorageApplyResp", entries: message.entries.map(formatEntry) };
  }
  const base = { from: target(message.from), to, name: messageName(message.type), term: message.term };
  switch (message.type) {
    case "propose":
      return { ...base, entries: message.entries.map((entry) => formatEntry({ index: 0, term: 0, ...entry })) };
    case "append": {
      const { prevIndex, prevTerm, commit, entries } = message;
      return { ...base, index: prevIndex, logTerm: prevTerm, commit, entries: entries.map(formatEntry) };
    }
    case "appendReply": {
      const { index, hintTerm, rejected, hintIndex } = message;
      return { ...base, index, logTerm: hintTerm, rejectedHint: rejected ? hintIndex : undefined };
    }
    case "vote":
    case "preVote":
      return { ...base, index: message.lastIndex, logTerm: message.lastTerm };
    case "voteReply":
    case "preVoteReply":
      return { ...base, rejectedHint: message.rejected ? 0 : undefined };
    case "heartbeat":
      return { ...base, commit: message.commit };
    case "snapshot":
      return { ...base, snapshot: message.snapshot };
    case "readIndex":
      return { ...base, entries: [formatEntry({ index: 0, term: 0, type: "normal", data: message.context })] };
    case "readIndexReply":
      return { ...base, index: message.index, entries: [formatEntry({ index: 0, term: 0, type: "normal", data: message.context })] };
    default:
      return base;
  }
}

function target(id: number): string {
  return id === 0 ? "None" : describeId(id);
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  '"': '\\"',
  "\\": "\\\\",
};

/** Go's `%q`: bytes that are no UTF-8 as `\xNN`, what cannot be printed escaped. */
function quote(data: Uint8Array): string {
  let text = "";
  for (let at = 0; at < data.length; ) {
    const character = characterAt(data, at);
    text += character === undefined ? hexByte(data[at] as number) : quoteCharacter(character.text);
    at += character?.size ?? 1;
  }
  return `"${text}"`;
}

function quoteCharacter(character: string): string {
  const escaped = ESCAPES[character];
  if (escaped !== undefined) return escaped;
  if (character === " " || /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(character)) return character;
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x80) return hexByte(code);
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

function hexByte(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

/** The UTF-8 sequence that begins at `at`; undefined where there is none. */
function characterAt(data: Uint8Array, at: number): { readonly text: string; readonly size: number } | undefined {
  for (let size = 1; size <= 4 && at + size <= data.length; size += 1) {
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data.subarray(at, at + size));
      return { text, size };
    } catch {
      // A sequence that is not complete yet, or no sequence at all.
    }
  }
  return undefined;
}
