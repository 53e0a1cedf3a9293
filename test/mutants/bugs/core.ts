import type { Bug } from "../bug.ts";

/** More bugs of the core. */
export const CORE: readonly Bug[] = [
  {
    number: 101,
    name: "whoever is to take over leadership needs no up-to-date log",
    edits: [
      {
        file: "src/raft/leader.ts",
        find: "if (progress.match === raft.log.lastIndex()) {",
        replace: "if (progress.match <= raft.log.lastIndex()) {",
      },
      {
        file: "src/raft/election.ts",
        find: "const granted = canVote && raft.log.isUpToDate(message.lastIndex, message.lastTerm);",
        replace: "const granted = canVote && (message.transfer || raft.log.isUpToDate(message.lastIndex, message.lastTerm));",
      },
    ],
  },
  {
    number: 102,
    name: "a learner's copy counts for the quorum",
    edits: [
      {
        file: "src/raft/tracker.ts",
        find: "return jointCommitted(this.#config.voters, this.#matchOf);",
        replace: `const { voters, learners } = this.#config;
    return jointCommitted({ ...voters, incoming: [...voters.incoming, ...learners] }, this.#matchOf);`,
      },
    ],
  },
  {
    number: 103,
    name: "a new leader does not leave the joint configuration that it found",
    edits: [
      {
        file: "src/raft/storage-reply.ts",
        find: "if (!tracker.config.autoLeave || applied < raft.pendingConfIndex",
        replace: "if (log.termOrZero(raft.pendingConfIndex) !== raft.term || !tracker.config.autoLeave || applied < raft.pendingConfIndex",
      },
    ],
  },
  {
    number: 104,
    name: "the window of appends to a peer is never freed",
    edits: [
      { file: "src/raft/replication.ts", find: "progress.inflights.freeThrough(index);", replace: "progress.inflights.freeThrough(0);" },
    ],
  },
  {
    number: 105,
    name: "a peer whose probe was lost stays paused",
    edits: [{ file: "src/raft/leader.ts", find: "  progress.flowPaused = false;\n", replace: "" }],
  },
  {
    number: 106,
    name: "a heartbeat tells of a commit that its receiver may not have",
    edits: [
      {
        file: "src/raft/reads.ts",
        find: "const commit = Math.min(progress.match, raft.log.committed);",
        replace: "const commit = raft.log.committed;",
      },
    ],
  },
  {
    number: 107,
    name: "a vote is forgotten with the role, within its term",
    edits: [
      {
        file: "src/raft/raft.ts",
        find: "      this.vote = NONE;\n    }\n    this.leader = NONE;",
        replace: "    }\n    this.vote = NONE;\n    this.leader = NONE;",
      },
    ],
  },
  {
    number: 108,
    name: "entries are applied before the node's own disk has them",
    edits: [
      {
        file: "src/raft/log.ts",
        find: "return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1);",
        replace: "return this.committed;",
      },
    ],
  },
  {
    number: 109,
    name: "a leader counts its own copy before it is durable",
    edits: [
      {
        file: "src/raft/raft.ts",
        find: "this.sendAppendReply(this.id, this.log.append(entries));",
        replace: `const last = this.log.append(entries);
    this.tracker.progress.get(this.id)?.maybeUpdate(last);
    this.sendAppendReply(this.id, last);`,
      },
      {
        file: "src/raft/replication.ts",
        find: "if (!progress.maybeUpdate(index) && !probed) return;",
        replace: "if (!progress.maybeUpdate(index) && !probed && from !== raft.id) return;",
      },
    ],
  },
  {
    number: 110,
    name: "storage's answer for an entry that was replaced meanwhile is accepted",
    edits: [{ file: "src/raft/unstable.ts", find: "} else if (own !== term) {", replace: "} else if (own < term) {" }],
  },
  {
    number: 111,
    name: "an append is acknowledged up to the end of the log, beyond what it verified",
    harmless:
      "the first append that a follower takes in a term begins behind the last entry they share and brings the one after it: what conflicts is gone before it is acknowledged",
    edits: [
      {
        file: "src/raft/follower.ts",
        find: "raft.sendAppendReply(from, lastNew);",
        replace: "raft.sendAppendReply(from, raft.log.lastIndex());",
      },
    ],
  },
  {
    number: 112,
    name: "half of an even number of voters is a majority",
    edits: [
      {
        file: "src/raft/quorum.ts",
        find: "return scratch[count - (Math.floor(count / 2) + 1)] as Index;",
        replace: "return scratch[count - Math.ceil(count / 2)] as Index;",
      },
      {
        file: "src/raft/quorum.ts",
        find: "const quorum = Math.floor(voters.length / 2) + 1;",
        replace: "const quorum = Math.ceil(voters.length / 2);",
      },
    ],
  },
  {
    number: 113,
    name: "a restored snapshot leaves the unstable entries of before in place",
    edits: [
      {
        file: "src/raft/unstable.ts",
        find: "    this.entries = [];\n    this.snapshot = snapshot;",
        replace: "    this.snapshot = snapshot;",
      },
    ],
  },
  {
    number: 114,
    name: "a late grant of a pre-vote counts as a vote",
    edits: [
      {
        file: "src/raft/election.ts",
        find: "if (reply.type !== expected) return;",
        replace: 'if (reply.type !== expected && raft.role === "preCandidate") return;',
      },
    ],
  },
  {
    number: 115,
    name: "a second configuration change while one is committed and has not applied",
    edits: [
      {
        file: "src/raft/leader.ts",
        find: "if (raft.pendingConfIndex > applied) {",
        replace: "if (raft.pendingConfIndex > raft.log.committed) {",
      },
    ],
  },
  {
    number: 116,
    name: "an acknowledgement of an earlier term counts",
    edits: [
      {
        file: "src/raft/step.ts",
        find: "  } else if (term !== 0 && term < raft.term) {",
        replace: '  } else if (term !== 0 && term < raft.term && message.type !== "appendReply") {',
      },
    ],
  },
];
