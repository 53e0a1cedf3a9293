import type { ConfChange, ConfChangeType, Transition } from "./conf-change.ts";
import type { Progress } from "./progress.ts";
import type { JointVoters, Majority } from "./quorum.ts";
import type { GroupConfig } from "./tracker.ts";
import type { ConfState, EntryType, Message, NodeId, Role } from "./types.ts";

// The wording of log lines follows etcd-io/raft, so that its transcripts can be compared with ours to the byte.

const MESSAGE_NAMES = {
  propose: "MsgProp",
  append: "MsgApp",
  appendReply: "MsgAppResp",
  vote: "MsgVote",
  preVote: "MsgPreVote",
  voteReply: "MsgVoteResp",
  preVoteReply: "MsgPreVoteResp",
  heartbeat: "MsgHeartbeat",
  heartbeatReply: "MsgHeartbeatResp",
  snapshot: "MsgSnap",
  transferLeader: "MsgTransferLeader",
  timeoutNow: "MsgTimeoutNow",
  readIndex: "MsgReadIndex",
  readIndexReply: "MsgReadIndexResp",
} satisfies Record<Message["type"], string>;

const ROLE_NAMES = {
  follower: "StateFollower",
  preCandidate: "StatePreCandidate",
  candidate: "StateCandidate",
  leader: "StateLeader",
} satisfies Record<Role, string>;

const TRANSITION_NAMES = {
  auto: "ConfChangeTransitionAuto",
  jointImplicit: "ConfChangeTransitionJointImplicit",
  jointExplicit: "ConfChangeTransitionJointExplicit",
} satisfies Record<Transition, string>;

const CHANGE_NAMES = {
  addNode: "ConfChangeAddNode",
  removeNode: "ConfChangeRemoveNode",
  updateNode: "ConfChangeUpdateNode",
  addLearner: "ConfChangeAddLearnerNode",
} satisfies Record<ConfChangeType, string>;

const PROGRESS_NAMES = { probe: "StateProbe", replicate: "StateReplicate", snapshot: "StateSnapshot" } satisfies Record<
  Progress["state"],
  string
>;

export function messageName(type: Message["type"]): string {
  return MESSAGE_NAMES[type];
}

export function roleName(role: Role): string {
  return ROLE_NAMES[role];
}

export function describeId(id: NodeId): string {
  return id.toString(16);
}

export function describeMajority(voters: Majority): string {
  return `(${voters.join(" ")})`;
}

export function describeVoters({ incoming, outgoing }: JointVoters): string {
  return outgoing.length === 0 ? describeMajority(incoming) : `${describeMajority(incoming)}&&${describeMajority(outgoing)}`;
}

export function describeConfig(config: GroupConfig): string {
  let text = `voters=${describeVoters(config.voters)}`;
  if (config.learners.length > 0) text += ` learners=${describeMajority(config.learners)}`;
  if (config.learnersNext.length > 0) text += ` learners_next=${describeMajority(config.learnersNext)}`;
  return config.autoLeave ? `${text} autoleave` : text;
}

export function describeConfState({ voters, votersOutgoing, learners, learnersNext, autoLeave }: ConfState): string {
  const list = (ids: readonly NodeId[]): string => `[${ids.join(" ")}]`;
  const members = `Voters:${list(voters)} VotersOutgoing:${list(votersOutgoing)} Learners:${list(learners)} LearnersNext:${list(learnersNext)}`;
  return `${members} AutoLeave:${autoLeave}`;
}

export function describeProgress(progress: Progress): string {
  let text = `${PROGRESS_NAMES[progress.state]} match=${progress.match} next=${progress.next}`;
  if (progress.isLearner) text += " learner";
  if (progress.paused) text += " paused";
  if (progress.pendingSnapshot > 0) text += ` pendingSnap=${progress.pendingSnapshot}`;
  if (!progress.recentActive) text += " inactive";
  const { count, full } = progress.inflights;
  if (count > 0) text += ` inflight=${count}${full ? "[full]" : ""}`;
  return text;
}

export function describeConfChange(change: ConfChange, entryType: EntryType): string {
  const operations = change.changes.map(({ type, nodeId }) => `type:${CHANGE_NAMES[type]} node_id:${nodeId}`);
  if (entryType === "confChange") return operations.join(" ");
  const changes = operations.map((operation) => ` changes:{${operation}}`);
  return `transition:${TRANSITION_NAMES[change.transition]}${changes.join("")}`;
}
