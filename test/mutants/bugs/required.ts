import type { Bug } from "../bug.ts";

/** Bugs of Raft and of its log, as they were made elsewhere: 18 of the 20 have to be found. */
export const REQUIRED: readonly Bug[] = [
  {
    number: 1,
    name: "entries of earlier terms are committed by counting copies",
    edits: [
      {
        file: "src/raft/log.ts",
        find: "if (term === 0 || index <= this.committed || !this.matches(index, term)) return false;",
        replace: "if (term === 0 || index <= this.committed) return false;",
      },
    ],
  },
  {
    number: 2,
    name: "two votes in one term",
    edits: [
      {
        file: "src/raft/election.ts",
        find: "raft.vote === from || (raft.vote === NONE && raft.leader === NONE) ||",
        replace: "raft.vote === from || raft.leader === NONE ||",
      },
    ],
  },
  {
    number: 3,
    name: "the reply to a vote is sent before the vote is durable",
    edits: [
      {
        file: "src/raft/election.ts",
        find: 'raft.sendDurable({\n    type: type === "vote"',
        replace: 'raft.send({\n    type: type === "vote"',
      },
    ],
  },
  {
    number: 4,
    name: "up to date by the index alone",
    edits: [
      {
        file: "src/raft/log.ts",
        find: "return term > last.term || (term === last.term && index >= last.index);",
        replace: "return index >= last.index;",
      },
    ],
  },
  {
    number: 5,
    name: "the term of the previous entry is not checked",
    edits: [
      {
        file: "src/raft/log.ts",
        find: "if (!this.matches(prevIndex, prevTerm)) return undefined;",
        replace: "if (prevIndex > this.lastIndex()) return undefined;",
      },
    ],
  },
  {
    number: 6,
    name: "an old append cuts off newer entries",
    edits: [
      {
        file: "src/raft/log.ts",
        find: "if (conflict !== 0) this.append(entries.slice(conflict - prevIndex - 1));",
        replace: "if (entries.length > 0) this.append(entries);",
      },
    ],
  },
  {
    number: 7,
    name: "a follower commits beyond the last entry that was verified",
    edits: [
      {
        file: "src/raft/log.ts",
        find: "this.commitTo(Math.min(commit, lastNew));",
        replace: "this.commitTo(Math.min(commit, this.lastIndex()));",
      },
    ],
  },
  {
    number: 8,
    name: "a second configuration change while one has not applied",
    edits: [
      {
        file: "src/raft/leader.ts",
        find: "if (raft.pendingConfIndex > applied) {",
        replace: "if (raft.pendingConfIndex > raft.log.lastIndex()) {",
      },
    ],
  },
  {
    number: 9,
    name: "a new leader forgets that a configuration change may be under way",
    edits: [{ file: "src/raft/raft.ts", find: "this.pendingConfIndex = this.log.lastIndex();", replace: "this.pendingConfIndex = 0;" }],
  },
  {
    number: 10,
    name: "a joint configuration commits by the majority of the union",
    edits: [
      {
        file: "src/raft/quorum.ts",
        find: "incoming : Math.min(incoming, majorityCommitted(voters.outgoing, acked));",
        replace: "incoming : majorityCommitted(voterIds(voters), acked);",
      },
    ],
  },
  {
    number: 11,
    name: "a joint configuration elects by one half",
    edits: [
      {
        file: "src/raft/quorum.ts",
        find: "if (incoming === outgoing) return incoming;",
        replace: 'if (incoming === outgoing || incoming === "won") return incoming;',
      },
    ],
  },
  {
    number: 12,
    name: "a node campaigns with configuration changes that have not applied",
    edits: [
      {
        file: "src/raft/election.ts",
        find: "log.scan(log.applied + 1, log.committed + 1,",
        replace: "log.scan(log.committed + 1, log.committed + 1,",
      },
    ],
  },
  {
    number: 13,
    name: "ReadIndex without a round to a quorum",
    edits: [
      {
        file: "src/raft/reads.ts",
        find: "if (byLease || raft.tracker.isSoleVoter(raft.id)) {",
        replace: 'if (byLease || raft.role === "leader") {',
      },
    ],
  },
  {
    number: 14,
    name: "ReadIndex before the first commit of the term",
    edits: [{ file: "src/raft/reads.ts", find: "if (raft.hasCommittedInTerm()) {", replace: 'if (raft.role === "leader") {' }],
  },
  {
    number: 15,
    name: "late replies to heartbeats confirm newer reads",
    edits: [
      {
        file: "src/raft/read-queue.ts",
        find: "if (position > (this.#acked.get(from) ?? 0)) this.#acked.set(from, position);",
        replace: "if (position > 0) this.#acked.set(from, this.#position);",
      },
    ],
  },
  {
    number: 16,
    name: "a snapshot wipes a log that holds it already",
    edits: [
      {
        file: "src/raft/follower.ts",
        find: "if (log.matches(index, term)) {",
        replace: "if (log.matches(index, term) && log.committed >= index) {",
      },
    ],
  },
  {
    number: 17,
    name: "an answer of storage from an earlier term is accepted (ABA)",
    edits: [
      {
        file: "src/raft/storage-reply.ts",
        find: "if (index !== 0 && term < raft.term) {",
        replace: "if (index !== 0 && term > raft.term) {",
      },
    ],
  },
  {
    number: 18,
    name: "entries are acknowledged before fdatasync",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "let sync = work.sync === true || work.entries.length > 0 || work.snapshot !== undefined;",
        replace: "let sync = work.sync === true || work.snapshot !== undefined;",
      },
    ],
  },
  {
    number: 19,
    name: "a bad record in the middle is taken for a torn tail",
    edits: [
      {
        file: "src/consensus/level/wal-check.ts",
        find: "if (bad !== undefined && log.subarray(at, end).includes(marker)) return bad;",
        replace: "if (bad !== undefined && log.subarray(at, end).includes(marker)) return undefined;",
      },
    ],
  },
  {
    number: 20,
    name: "the session table is missing from the snapshot",
    edits: [
      {
        file: "src/metadata/snapshot.ts",
        find: "for await (const [key, value] of this.#rows(after)) {",
        replace: "for await (const [key, value] of this.#rows(after)) {\n    if (/^(?:sessions?|outcome)(?:[/]|$)/.test(key)) continue;",
      },
    ],
  },
];
