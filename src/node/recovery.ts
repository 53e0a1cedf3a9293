import { randomUUID } from "node:crypto";
import type { Driver } from "../consensus/driver.ts";
import type { Clock } from "../core/clock.ts";
import { OciError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { Host } from "../exchange/libp2p/host.ts";
import type { RecoveryPlan } from "../http/admin.ts";
import type { Member } from "../metadata/records.ts";
import { drawKeys } from "./bootstrap.ts";
import type { ClusterKeys, ClusterState, Peer } from "./cluster-state.ts";
import {
  askHandOver,
  askSurvey,
  askToLead,
  askToYield,
  type HandOver,
  type LeadWish,
  type RecoveryServer,
  type Survey,
} from "./recover-protocol.ts";
import { writeOrder } from "./recovery-order.ts";

export interface RecoveryOptions {
  readonly consensus: Pick<Driver, "self" | "catalog" | "status" | "log">;
  readonly host: Host;
  readonly data: string;
  readonly state: Pick<ClusterState, "clusterId">;
  readonly keys: ClusterKeys;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Stops this node and starts it again on its folder. */
  readonly restart: () => void;
}

/** A member that answered. */
interface Survivor {
  readonly member: Member;
  readonly survey: Survey;
}

interface Situation {
  readonly survivors: readonly Survivor[];
  readonly lost: readonly Member[];
  readonly chosen: Survivor;
}

/** An answer that is under way is to arrive before the node stops. */
const RESTART_AFTER_MS = 250;
/** Within it a recovery is ordered, or given up. */
const YIELD_MS = 60_000;

/**
 * What the members of a cluster do when its quorum is gone for good (DESIGN.md, "Recovery"): one of them is asked by an administrator, finds the survivor whose log
 * goes furthest, and has it go on as a new cluster; the other survivors follow when they hear of that.
 */
export class Recovery implements RecoveryServer {
  readonly #options: RecoveryOptions;
  #ordered = false;
  #yielded: { readonly to: RaftId; readonly untilMs: number } | undefined;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  survey(at: number): Survey {
    const { consensus, state } = this.#options;
    const { term, lastIndex, commitIndex, appliedIndex, cutOff } = consensus.status();
    const termOf = (index: number): number => {
      const found = consensus.log.term(index);
      return typeof found === "number" ? found : 0;
    };
    return {
      clusterId: state.clusterId,
      term,
      lastTerm: termOf(lastIndex),
      lastIndex,
      commitIndex,
      appliedIndex,
      cutOff,
      termAt: termOf(at),
    };
  }

  /** @throws OciError CONFLICT, with the reason and what to do instead, where there is nothing to recover */
  async plan(): Promise<RecoveryPlan> {
    const { consensus, state } = this.#options;
    const { survivors, lost, chosen } = await this.#situation();
    return {
      clusterId: state.clusterId,
      chosen: chosen.member.name,
      survivors: survivors.map(({ member, survey: { lastTerm, lastIndex, appliedIndex } }) => ({
        name: member.name,
        lastTerm,
        lastIndex,
        appliedIndex,
      })),
      lost: lost.map(({ name, http }) => ({ name, http })),
      lostBlobs: await consensus.catalog.countHeldOnlyBy(lost.map(({ raftId }) => raftId)),
    };
  }

  /**
   * @param lost the names that the administrator has read and confirmed: none may have come back since
   * @returns the id of the new cluster, which the survivor that was chosen is about to become
   */
  async perform(lost: readonly string[], by: string): Promise<{ readonly clusterId: string; readonly leader: string }> {
    const { consensus, host, clock, state } = this.#options;
    const situation = await this.#situation();
    const names = situation.lost.map(({ name }) => name);
    if ([...names].sort().join() !== [...new Set(lost)].sort().join()) {
      throw new OciError(
        "CONFLICT",
        `the members that do not answer are now ${names.join(", ") || "none"}, and the lost ones were given as ${lost.join(", ") || "none"}: look again with \`roadstead recover\``,
      );
    }
    const { chosen, survivors } = situation;
    const term = Math.max(...survivors.map(({ survey }) => survey.term)) + 1;
    const ids = (members: readonly Member[]): readonly RaftId[] => members.map(({ raftId }) => raftId);
    const members = survivors.map(({ member }) => member);
    const wish: LeadWish = { from: state.clusterId, survivors: ids(members), lost: ids(situation.lost), term, by };
    const { raftId, peerId, name } = chosen.member;
    // Of two administrators at two survivors one is refused: two clusters must not come of this one.
    for (const { raftId: id, peerId: peer } of members) {
      if (id === consensus.self) this.yieldTo(state.clusterId, raftId);
      else await askToYield(host, peer, state.clusterId, raftId, clock);
    }
    const clusterId = raftId === consensus.self ? await this.lead(wish) : await askToLead(host, peerId, wish, clock);
    return { clusterId, leader: name };
  }

  yieldTo(from: string, to: RaftId): void {
    const { clock, consensus, state } = this.#options;
    if (from !== state.clusterId) throw new OciError("CONFLICT", `this node is in the cluster ${state.clusterId}, not in ${from}`);
    this.#refuseWhereAlive();
    const nowMs = clock.monotonicMs();
    const other = this.#yielded !== undefined && this.#yielded.to !== to && nowMs < this.#yielded.untilMs;
    if (this.#ordered || other) {
      const name = consensus.catalog.member(consensus.self)?.name ?? "a survivor";
      throw new OciError(
        "CONFLICT",
        `${name} takes part in another recovery already: \`roadstead status\` shows what became of it; else try again in a minute`,
      );
    }
    this.#yielded = { to, untilMs: nowMs + YIELD_MS };
  }

  async lead({ from, survivors, lost, term, by }: LeadWish): Promise<string> {
    const { consensus, data, random, log } = this.#options;
    this.yieldTo(from, consensus.self);
    const members = consensus.catalog.members();
    const unheard = members.find(({ raftId }) => !survivors.includes(raftId) && !lost.includes(raftId));
    const own = members.find(({ raftId }) => raftId === consensus.self)?.name;
    if (unheard !== undefined) {
      throw new OciError(
        "CONFLICT",
        `${own}, which knows more than the node that was asked, has ${unheard.name} among its members too: say \`roadstead recover\` there`,
      );
    }
    this.#ordered = true;
    try {
      const clusterId = randomUUID();
      const peers = peersOf(members.filter(({ raftId }) => !lost.includes(raftId)));
      const names = members.filter(({ raftId }) => lost.includes(raftId)).map(({ name }) => name);
      const summary = `from ${from}, without ${names.join(", ")}, by ${by}`;
      await writeOrder(data, { role: "lead", from, clusterId, keys: drawKeys(random), term, peers, lost, by, summary });
      log.warn({ from, clusterId, lost }, "the recovery of the cluster was ordered: this node starts again as its beginning");
      this.#restartSoon();
      return clusterId;
    } catch (error) {
      this.#ordered = false;
      throw error;
    }
  }

  handOver(from: string): HandOver {
    const { consensus, state, keys } = this.#options;
    const cluster = consensus.catalog.cluster();
    const { term, voters } = consensus.status();
    const [voter] = voters;
    if (
      cluster?.clusterId !== state.clusterId ||
      cluster.former?.some(({ clusterId }) => clusterId === from) !== true ||
      voter === undefined
    ) {
      throw new OciError("NOT_FOUND", `this cluster was not recovered from ${from}`);
    }
    return { clusterId: state.clusterId, keys, term, voter, peers: peersOf(consensus.catalog.members()) };
  }

  /** Follows the cluster that this node's was recovered as, where `peer` is in it already. @param clusterId as the old cluster's signature says */
  async follow(peer: PeerId, clusterId: string): Promise<void> {
    const { host, clock, data, state, log } = this.#options;
    if (this.#ordered) return;
    const { keys, term, voter, peers, clusterId: found } = await askHandOver(host, peer, state.clusterId, clock);
    // It may have been recovered once more since: what is signed leads there too.
    log.warn(
      { from: state.clusterId, clusterId: found, signed: clusterId },
      "the cluster was recovered without a quorum: this node follows it",
    );
    this.#ordered = true;
    await writeOrder(data, { role: "follow", from: state.clusterId, clusterId: found, keys, term: Math.max(1, term), peers, voter });
    this.#restartSoon();
  }

  #restartSoon(): void {
    const { clock, restart } = this.#options;
    clock.after(RESTART_AFTER_MS, restart);
  }

  #refuseWhereAlive(): void {
    const { consensus } = this.#options;
    if (consensus.status().cutOff) return;
    throw new OciError(
      "CONFLICT",
      "the cluster is alive: this node has contact with a majority of the voters, so nothing is to be recovered. A dead node is taken out with `roadstead remove`",
    );
  }

  async #situation(): Promise<Situation> {
    const { consensus, state } = this.#options;
    this.#refuseWhereAlive();
    const members = consensus.catalog.members();
    const surveys = await this.#surveyAll(members, 0);
    const survivors = members.flatMap((member, at) => {
      const survey = surveys[at];
      return survey === undefined ? [] : [{ member, survey }];
    });
    const lost = members.filter((_, at) => surveys[at] === undefined);
    refuseWhereElsewhere(survivors, state.clusterId);
    const voters = consensus.status().voters;
    const answering = survivors.filter(({ member }) => voters.includes(member.raftId)).length;
    const majority = Math.floor(voters.length / 2) + 1;
    if (answering >= majority) {
      throw new OciError(
        "CONFLICT",
        `${answering} of ${voters.length} voters answer, and ${majority} are a quorum: nothing is to be recovered. They find a leader within seconds; a dead node is taken out with \`roadstead remove\``,
      );
    }
    return { survivors, lost, chosen: await this.#choose(survivors) };
  }

  #surveyAll(members: readonly Member[], at: number): Promise<readonly (Survey | undefined)[]> {
    const { consensus, host, clock } = this.#options;
    return Promise.all(
      members.map(({ raftId, peerId }) =>
        raftId === consensus.self ? Promise.resolve(this.survey(at)) : askSurvey(host, peerId, at, clock),
      ),
    );
  }

  /**
   * Of the logs that hold all that anybody knows to be committed, the one with the highest (term, index). Without the first condition an entry of a higher term that
   * nobody else ever had could count for more than what was acknowledged.
   */
  async #choose(survivors: readonly Survivor[]): Promise<Survivor> {
    const committed = Math.max(...survivors.map(({ survey }) => survey.commitIndex));
    const surveys = await this.#surveyAll(
      survivors.map(({ member }) => member),
      committed,
    );
    const candidates = survivors.flatMap(({ member }, at) => {
      const survey = surveys[at];
      return survey === undefined ? [] : [{ member, survey }];
    });
    const chosen = furthest(candidates, committed);
    if (chosen !== undefined) return chosen;
    throw new OciError("UNAVAILABLE", "no member that answers has the catalog: try again, or restore a backup of a data folder");
  }
}

/** Pure, and the same whoever asks. */
export function furthest<T extends { readonly member: Pick<Member, "raftId">; readonly survey: Survey }>(
  candidates: readonly T[],
  committed: number,
): T | undefined {
  const knower = candidates.find(({ survey }) => survey.commitIndex >= committed);
  const whole = candidates.filter(({ survey }) => survey.lastIndex > 0 && knower !== undefined && survey.termAt === knower.survey.termAt);
  const order = (a: T, b: T): number =>
    b.survey.lastTerm - a.survey.lastTerm || b.survey.lastIndex - a.survey.lastIndex || a.member.raftId - b.member.raftId;
  return whole.sort(order)[0];
}

function refuseWhereElsewhere(survivors: readonly Survivor[], clusterId: string): void {
  const elsewhere = survivors.find(({ survey }) => survey.clusterId !== clusterId);
  if (elsewhere !== undefined) {
    throw new OciError(
      "CONFLICT",
      `${elsewhere.member.name} is in the cluster ${elsewhere.survey.clusterId} already, as which this one was recovered: this node hears of it within seconds, and follows or ends`,
    );
  }
  const alive = survivors.find(({ survey }) => !survey.cutOff);
  if (alive === undefined) return;
  throw new OciError(
    "CONFLICT",
    `${alive.member.name} has contact with a majority of the voters: the cluster is alive, and this node alone is cut off. Mend the network between this node and the others`,
  );
}

function peersOf(members: readonly Member[]): Peer[] {
  return members.map(({ raftId, peerId, addresses }) => ({ raftId, peerId, addresses }));
}
