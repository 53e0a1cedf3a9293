import type { RaftId } from "../core/peer.ts";
import { readToken, tokenRefusal, useToken } from "./apply-token.ts";
import type { ClusterCommand, MemberCommand, MemberFacts, Refusal } from "./commands.ts";
import { ACCEPTED, type Decision, refuse } from "./decision.ts";
import type { Draft } from "./draft.ts";
import { bootKey, CLUSTER_KEY, memberKey, peerKey, ROSTER_KEY, usageKey } from "./keys.ts";
import { needOf, readDurability, readRoster } from "./membership.ts";
import type { ApplyContext } from "./policy.ts";
import type { Member } from "./records.ts";
import { CLUSTER, MEMBER, PEER, ROSTER, USAGE } from "./rows.ts";

type Of<T extends (ClusterCommand | MemberCommand)["type"]> = Extract<ClusterCommand | MemberCommand, { type: T }>;

/** The node that makes the cluster. */
const FOUNDER: RaftId = 1;

export function initCluster(draft: Draft, context: ApplyContext, command: Of<"cluster.init">): Decision {
  const { clusterId, publicKey, member, durability, lifetimes } = command;
  const old = draft.read(CLUSTER, CLUSTER_KEY);
  if (old !== undefined) return old.clusterId === clusterId ? { value: FOUNDER } : refuse("state");
  if (durability !== undefined && (durability.acks < 1 || durability.copies < durability.acks)) return refuse("mismatch");
  if (member.versionMax < context.schema) return refuse("version");
  draft.write(CLUSTER, CLUSTER_KEY, { clusterId, version: context.schema, publicKey, durability, lifetimes });
  seat(draft, FOUNDER, member);
  return { value: FOUNDER };
}

/** `cluster.version` only grows, and only where every member that is not down can follow. */
export function raiseVersion(draft: Draft, command: Of<"cluster.raise">): Decision {
  const cluster = draft.read(CLUSTER, CLUSTER_KEY);
  if (cluster === undefined) return refuse("state");
  if (command.version <= cluster.version) return command.version === cluster.version ? ACCEPTED : refuse("version");
  if (readRoster(draft).seats.some((one) => !one.down && one.versionMax < command.version)) return refuse("version");
  draft.write(CLUSTER, CLUSTER_KEY, { ...cluster, version: command.version });
  return ACCEPTED;
}

/** Keyed by peer id: a newcomer that crashed before it heard the answer hears it again, without another use of the token. */
export function addMember(draft: Draft, context: ApplyContext, command: Of<"member.add">): Decision {
  return takeIn(draft, context, command, () => undefined);
}

/** The old member goes and the new one comes in one entry, so that nobody else takes the name between. */
export function replaceMember(draft: Draft, context: ApplyContext, command: Of<"member.replace">): Decision {
  const { old: id, proven, lost } = command;
  return takeIn(draft, context, command, () => {
    const old = draft.read(MEMBER, memberKey(id));
    if (old === undefined) return "unknown";
    if (!old.down && !proven) return "memberUp";
    if (holdsSole(draft, id) && lost !== true) return "count";
    strike(draft, id);
    return undefined;
  });
}

/** @param makeRoom once the token is known to be good; answers why there is none */
function takeIn(
  draft: Draft,
  context: ApplyContext,
  { member, token }: Pick<Of<"member.add">, "member" | "token">,
  makeRoom: () => Refusal | undefined,
): Decision {
  const known = draft.read(PEER, peerKey(member.peerId));
  if (known !== undefined) return draft.get(memberKey(known.raftId)) === undefined ? refuse("state") : { value: known.raftId };
  // first, so that one without the secret learns nothing of the cluster
  const refused = tokenRefusal(readToken(draft, token.id), token.hash, context.time);
  if (refused !== undefined) return refuse(refused);
  const cluster = draft.read(CLUSTER, CLUSTER_KEY);
  if (cluster === undefined || member.versionMax < cluster.version) return refuse("version");
  const taken = makeRoom() ?? takenBy(draft, member);
  if (taken !== undefined) return refuse(taken);
  useToken(draft, token.id);
  seat(draft, context.index, member);
  return { value: context.index };
}

/** Whether another member has the newcomer's name, or, while it is not down, listens where the newcomer does. */
function takenBy(draft: Draft, { peerId, name, addresses }: MemberFacts): "nameTaken" | "addressTaken" | undefined {
  const members = readRoster(draft).seats.flatMap(({ id }) => draft.read(MEMBER, memberKey(id)) ?? []);
  const others = members.filter((other) => other.peerId !== peerId);
  if (name !== "" && others.some((other) => other.name === name)) return "nameTaken";
  const isThere = (other: Member): boolean => !other.down && other.addresses.some((address) => addresses.includes(address));
  return others.some(isThere) ? "addressTaken" : undefined;
}

function seat(draft: Draft, raftId: RaftId, facts: MemberFacts): void {
  draft.write(PEER, peerKey(facts.peerId), { raftId });
  writeMember(draft, { ...facts, raftId, down: false, draining: false });
}

function writeMember(draft: Draft, member: Member): void {
  const { raftId: id, down, draining, versionMax } = member;
  draft.write(MEMBER, memberKey(id), member);
  const roster = readRoster(draft);
  const seats = [...roster.seats.filter((one) => one.id !== id), { id, down, draining, versionMax }];
  draft.write(ROSTER, ROSTER_KEY, { ...roster, seats: seats.sort((a, b) => a.id - b.id) });
}

export function updateMember(draft: Draft, command: Of<"member.update">): Decision {
  const old = draft.read(MEMBER, memberKey(command.raftId));
  if (old === undefined) return refuse("unknown");
  if (old.peerId !== command.member.peerId) return refuse("mismatch");
  const version = draft.read(CLUSTER, CLUSTER_KEY)?.version ?? 0;
  if (command.member.versionMax < version) return refuse("version");
  // an address may have been another's a moment ago, which has yet to tell its own new one
  if (command.member.name !== old.name && takenBy(draft, command.member) === "nameTaken") return refuse("nameTaken");
  writeMember(draft, { ...old, ...command.member });
  return ACCEPTED;
}

export function setMemberState(draft: Draft, context: ApplyContext, command: Of<"member.state">): Decision {
  const old = draft.read(MEMBER, memberKey(command.raftId));
  if (old === undefined) return refuse("unknown");
  if (command.draining === true && command.keepCount === true) {
    const roster = readRoster(draft);
    const staying = roster.seats.filter((seat) => seat.id !== command.raftId && !seat.down && !seat.draining);
    if (staying.length < needOf(roster, readDurability(draft, context.policy))) return refuse("count");
  }
  const { down = old.down, draining = old.draining } = command;
  writeMember(draft, { ...old, down, downSince: down ? (old.downSince ?? context.time) : undefined, draining });
  return ACCEPTED;
}

/** One entry strikes all copies: from here on the id is no member's (membership.ts). */
export function removeMember(draft: Draft, command: Of<"member.remove">): Decision {
  const { raftId } = command;
  if (draft.get(memberKey(raftId)) === undefined) return refuse("unknown");
  const roster = readRoster(draft);
  if (roster.seats.length === 1) return refuse("state");
  if (holdsSole(draft, raftId) && command.lost !== true) return refuse("count");
  strike(draft, raftId);
  return ACCEPTED;
}

/** Whether a record has no other copy. */
function holdsSole(draft: Draft, raftId: RaftId): boolean {
  return (draft.read(USAGE, usageKey(raftId))?.sole ?? 0) > 0;
}

/** Takes the member out, and with that its copies. */
export function strike(draft: Draft, raftId: RaftId): void {
  const roster = readRoster(draft);
  draft.remove(memberKey(raftId));
  draft.remove(bootKey(raftId));
  draft.write(ROSTER, ROSTER_KEY, {
    seats: roster.seats.filter((one) => one.id !== raftId),
    removed: [...roster.removed, raftId],
  });
}
