import { OciError } from "../core/errors.ts";
import type { RaftId } from "../core/peer.ts";
import type { Admin, NodeChange } from "../http/admin.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { Member } from "../metadata/records.ts";
import type { AdminOptions } from "./admin.ts";
import { askVitals } from "./status-protocol.ts";

/** How long a hand-over of leadership may take; it is over within a few round trips, or not at all. */
const TRANSFER_MS = 5_000;
const LOOK_MS = 50;

/** What an administrator does with nodes. Each refusal says why, and what to do instead. */
export function createMemberAdmin(options: AdminOptions): Pick<Admin, "drain" | "undrain" | "remove" | "transferLeader"> {
  return {
    drain: (node) => drain(options, node),
    undrain: (node) => undrain(options, node),
    remove: (node, how) => remove(options, node, how),
    transferLeader: (node) => transferLeader(options, node),
  };
}

/** By name or peer id, as of now: another node may have changed the members a moment ago. */
async function find({ consensus }: AdminOptions, node: string): Promise<Member> {
  if ((await consensus.barrier()) === "cutOff") {
    throw new OciError("UNAVAILABLE", "this node has no contact with a majority: ask another one, or bring the others back");
  }
  const [member, second] = consensus.catalog.members().filter(({ name, peerId }) => name === node || peerId === node);
  if (member === undefined) throw new OciError("NOT_FOUND", `no node is called ${node}: \`roadstead nodes\` lists them`);
  if (second !== undefined) throw new OciError("CONFLICT", `two nodes are called ${node}: name the peer id that \`roadstead nodes\` shows`);
  return member;
}

function changeOf({ consensus }: AdminOptions, { raftId, name }: Member): NodeChange {
  return { node: name, copies: consensus.catalog.copiesOf(raftId) };
}

async function drain(options: AdminOptions, node: string): Promise<NodeChange> {
  const { consensus } = options;
  const member = await find(options, node);
  const outcome = await consensus.propose({ type: "member.state", raftId: member.raftId, draining: true, keepCount: true });
  if (outcome.refused === "count") {
    const need = consensus.catalog.need();
    const staying = consensus.catalog.members().filter((each) => each.raftId !== member.raftId && !each.down && !each.draining).length;
    throw new OciError(
      "CONFLICT",
      `${need} nodes are to hold what is pushed, and ${staying} that ${staying === 1 ? "is" : "are"} up would stay without ${member.name}: join a node first (\`roadstead token create\`), or undrain one that drains`,
      { need, staying },
    );
  }
  if (outcome.refused !== undefined) throw new OciError("UNAVAILABLE", `${member.name} does not drain (${outcome.refused}): try again`);
  return changeOf(options, member);
}

async function undrain(options: AdminOptions, node: string): Promise<NodeChange> {
  const member = await find(options, node);
  const { refused } = await options.consensus.propose({ type: "member.state", raftId: member.raftId, draining: false });
  if (refused !== undefined) throw new OciError("UNAVAILABLE", `${member.name} still drains (${refused}): try again`);
  return changeOf(options, member);
}

async function remove(options: AdminOptions, node: string, how: { readonly lost: boolean; readonly force: boolean }): Promise<NodeChange> {
  const { consensus } = options;
  const member = await find(options, node);
  const before = changeOf(options, member);
  await refuseLossOfQuorum(options, member);
  if (!how.force && before.copies > 0 && (await isAlive(options, member))) {
    throw new OciError(
      "CONFLICT",
      `${member.name} is alive and holds ${before.copies} copies: drain it first (\`roadstead drain ${member.name} --wait\`), or say --force, and the others make them again from their own`,
      { copies: before.copies },
    );
  }
  if (!how.lost && (await holdsAlone(consensus.catalog, member.raftId))) throw soleCopies(member.name);
  const outcome = await consensus.propose({ type: "member.remove", raftId: member.raftId, ...(how.lost ? { lost: true } : {}) });
  switch (outcome.refused) {
    case undefined:
      return before;
    case "count":
      throw soleCopies(member.name);
    case "state":
      throw new OciError("CONFLICT", `${member.name} is the last node of the cluster`);
    case "unknown":
      return before; // two asked at once
    default:
      throw new OciError("UNAVAILABLE", `${member.name} was not removed (${outcome.refused}): try again`);
  }
}

function soleCopies(name: string): OciError {
  return new OciError(
    "CONFLICT",
    `${name} holds the only copy of some blobs: start it and wait until \`roadstead status\` shows none short, or say --lost to give them up for good`,
  );
}

const PAGE = 256;

/**
 * Whether a record has no copy but this member's. `apply` asks its own count, which knows nothing of copies that lay on a member that was removed since the record
 * was last written: those records are short, and are looked through.
 */
export async function holdsAlone(catalog: Pick<Catalog, "shortRecords" | "blob" | "holders">, member: RaftId): Promise<boolean> {
  for (let after = ""; ; ) {
    const page = await catalog.shortRecords(after, PAGE);
    for (const digest of page) {
      const record = catalog.blob(digest);
      const holders = record?.state === "live" ? catalog.holders(record) : [];
      if (holders.length === 1 && holders[0]?.raftId === member) return true;
    }
    const last = page.at(-1);
    if (last === undefined) return false;
    after = last;
  }
}

/** Of the voters that would be left a majority must answer, or nothing could be written afterwards. */
async function refuseLossOfQuorum(options: AdminOptions, member: Member): Promise<void> {
  const { consensus } = options;
  const left = consensus.status().voters.filter((id) => id !== member.raftId);
  const majority = Math.floor(left.length / 2) + 1;
  const alive = await Promise.all(left.map((id) => isVoterAlive(options, id)));
  const answering = alive.filter(Boolean).length;
  if (left.length === 0 || answering >= majority) return;
  const silent = left.filter((_, at) => alive[at] !== true).map((id) => consensus.catalog.member(id)?.name ?? String(id));
  throw new OciError(
    "CONFLICT",
    `without ${member.name} the quorum would be lost: ${answering} of ${left.length} voters that are left answer, and ${majority} are needed. Start ${silent.join(", ")} first`,
    { answering, majority },
  );
}

function isVoterAlive(options: AdminOptions, id: RaftId): Promise<boolean> {
  const member = options.consensus.catalog.member(id);
  return member === undefined ? Promise.resolve(false) : isAlive(options, member);
}

async function isAlive({ consensus, host, clock, log }: AdminOptions, member: Member): Promise<boolean> {
  return member.raftId === consensus.self || (await askVitals(host, member.peerId, clock, log)) !== undefined;
}

async function transferLeader(options: AdminOptions, node: string | undefined): Promise<{ readonly leader: string }> {
  const { consensus, membership, clock } = options;
  const heir = node === undefined ? await anyHeir(options) : await find(options, node);
  const { leader, voters } = consensus.status();
  if (!voters.includes(heir.raftId)) {
    const names = voters.map((id) => consensus.catalog.member(id)?.name ?? String(id));
    throw new OciError("CONFLICT", `${heir.name} is a learner, which cannot lead: the voters are ${names.join(", ")}`);
  }
  if (leader === heir.raftId) return { leader: heir.name };
  if (!(await isAlive(options, heir))) throw new OciError("CONFLICT", `${heir.name} does not answer: it cannot lead`);
  membership.transferLeader(heir.raftId);
  const led = await until(clock, () => consensus.status().leader === heir.raftId);
  if (led) return { leader: heir.name };
  throw new OciError(
    "UNAVAILABLE",
    `${heir.name} did not take over within ${TRANSFER_MS / 1_000} s: \`roadstead status\` shows who leads and how far it is behind; try again`,
  );
}

/** The voter that has applied most, besides the leader and those that drain. */
async function anyHeir({ consensus, host, clock, log }: AdminOptions): Promise<Member> {
  const { leader, voters } = consensus.status();
  const others = consensus.catalog.members().filter(({ raftId, draining }) => raftId !== leader && !draining && voters.includes(raftId));
  const applied = await Promise.all(
    others.map(async (member) =>
      member.raftId === consensus.self
        ? consensus.status().appliedIndex
        : ((await askVitals(host, member.peerId, clock, log))?.appliedIndex ?? -1),
    ),
  );
  const best = others[applied.indexOf(Math.max(...applied))];
  if (best === undefined || Math.max(...applied) < 0) throw new OciError("CONFLICT", "no other voter answers that could lead");
  return best;
}

/** @returns whether it came true in time */
function until(clock: AdminOptions["clock"], holds: () => boolean): Promise<boolean> {
  const endMs = clock.monotonicMs() + TRANSFER_MS;
  return new Promise((resolve) => {
    const stop = clock.every(LOOK_MS, () => {
      const held = holds();
      if (!held && clock.monotonicMs() < endMs) return;
      stop();
      resolve(held);
    });
  });
}
