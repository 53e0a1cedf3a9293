import { sign } from "node:crypto";
import { isIPv6 } from "node:net";
import type { Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import { pause } from "../core/clock.ts";
import { OciError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { PeerId } from "../core/peer.ts";
import { programVersion } from "../core/program-version.ts";
import type { Random } from "../core/random.ts";
import { type JoinToken, parseToken } from "../exchange/join-token.ts";
import { toMultiaddr } from "../exchange/libp2p/addresses.ts";
import type { Host } from "../exchange/libp2p/host.ts";
import {
  type JoinAnswer,
  type JoinFacts,
  JoinRefused,
  type JoinServer,
  type RefusalReason,
  requestJoin,
  serveJoin,
} from "../exchange/libp2p/join.ts";
import { signMembership } from "../exchange/membership-certificate.ts";
import { tokenRefusal } from "../metadata/apply-token.ts";
import type { MemberFacts, Refusal } from "../metadata/commands.ts";
import type { Audit } from "../upkeep/audit.ts";
import { privateKeyOf, publicKeyOf } from "./bootstrap.ts";
import { type ClusterKeys, type ClusterState, writeClusterKeys, writeClusterState } from "./cluster-state.ts";
import type { Lookup } from "./lookup.ts";
import { NodeError } from "./node-error.ts";
import { admissionOf, type ReplaceWish, replaceFacts, replacementIn } from "./replace.ts";

export interface JoinPlan {
  readonly data: string;
  readonly address: string;
  readonly token: string;
  /** The addresses of a host name. */
  readonly lookup: Lookup;
  readonly facts: MemberFacts;
  readonly replace: ReplaceWish | undefined;
  readonly host: Host;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A member that restarts, or an election, is waited for; after that the service manager decides. */
const PATIENCE_MS = 60_000;
const RETRY_MS = 500;

/**
 * Enters the cluster at `address`, and writes what it was handed: a crash before that joins again without another use of the token.
 * @throws NodeError where the cluster does not take this node in, or nobody answers for a minute
 */
export async function joinCluster(plan: JoinPlan, signal: AbortSignal): Promise<ClusterState> {
  const token = readToken(plan.token);
  const facts = { ...plan.facts, ...(await replaceFacts(plan.replace, plan.facts.peerId)) };
  const answer = await askUntilAnswered(plan, token, facts, signal);
  await writeClusterKeys(plan.data, { secret: answer.clusterSecret, key: answer.clusterKey });
  const { clusterId, raftId, members } = answer;
  const state: ClusterState = { clusterId, raftId, name: plan.facts.name, founding: false, hasLog: false, peers: members };
  await writeClusterState(plan.data, state);
  return state;
}

/** @throws NodeError where it is no join token, or damaged */
export function readToken(text: string): JoinToken {
  try {
    return parseToken(text);
  } catch (error) {
    throw new NodeError(`--token: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** @throws NodeError where nobody could ever be dialled there: that is not to be tried for a minute */
export function checkJoinAddress(address: string): void {
  let dialled: string;
  try {
    dialled = toMultiaddr(address);
  } catch (error) {
    throw new NodeError(`--join: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!/^\/(?:ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/[1-9]\d*(?:\/|$)/.test(dialled)) {
    throw new NodeError(`--join ${address}: members listen for TCP at a port above 0, such as 192.0.2.1:5100 or /ip4/192.0.2.1/tcp/5100`);
  }
}

async function askUntilAnswered(plan: JoinPlan, token: JoinToken, told: JoinFacts, signal: AbortSignal): Promise<JoinAnswer> {
  const { address, clock, facts, host, log, random } = plan;
  const request = { token, facts: told, version: { program: programVersion(), schema: facts.versionMax } };
  const untilMs = clock.monotonicMs() + PATIENCE_MS;
  let before = "";
  for (;;) {
    try {
      return await requestJoin(host, await joinAddresses(address, plan), request, random, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isWorthAnotherTry(error) || clock.monotonicMs() + RETRY_MS > untilMs) throw refusalOf(error, address);
      const reason = reasonOf(error);
      if (reason !== before)
        log.warn({ address, reason }, "the cluster could not take this node in yet: it is tried again, for a minute at most");
      before = reason;
    }
    await pause(clock, RETRY_MS, signal);
  }
}

/** Each address of a name by itself, asked for anew with each try, so that one that is dead or hangs costs its own time alone. */
export async function joinAddresses(address: string, { lookup, random }: Pick<JoinPlan, "lookup" | "random">): Promise<readonly string[]> {
  const dialled = toMultiaddr(address);
  const [, kind, name = "", rest = ""] = /^\/(dns[46]?)\/([^/]+)(\/.*)$/.exec(dialled) ?? [];
  if (kind === undefined) return [dialled];
  let found: readonly string[];
  try {
    found = await lookup(name, kind === "dns4" ? 4 : kind === "dns6" ? 6 : 0);
  } catch (error) {
    throw new OciError("UNAVAILABLE", `no address is known for the name ${name}`, {}, error);
  }
  const from = Math.trunc(random.float() * found.length); // newcomers do not all ask the same one
  return [...found.slice(from), ...found.slice(0, from)].map((ip) => `/${isIPv6(ip) ? "ip6" : "ip4"}/${ip}${rest}`);
}

function isWorthAnotherTry(error: unknown): boolean {
  if (error instanceof JoinRefused) return error.reason === "tooManyAttempts" || error.reason === "replaceUp";
  return error instanceof OciError && error.code === "UNAVAILABLE";
}

function refusalOf(error: unknown, address: string): NodeError {
  if (error instanceof OciError && error.code === "UNAVAILABLE") {
    return new NodeError(`--join ${address}: ${reasonOf(error)}. Is a member of the cluster running there, and has the cluster a quorum?`);
  }
  return new NodeError(`--join ${address}: ${reasonOf(error)}`);
}

/** With the system's code (ECONNREFUSED, ENOTFOUND), which libp2p tells in a text of many lines alone. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = /\bE[A-Z]{4,}\b/.exec(String(error.cause))?.[0];
  return code === undefined ? error.message : `${error.message} (${code})`;
}

export interface Admission {
  readonly consensus: Consensus;
  readonly audit: Audit;
  readonly clusterId: string;
  readonly keys: ClusterKeys;
}

/** Takes newcomers in: the use of the token and the membership are one entry, so that neither is without the other. */
export async function admitNewcomers(host: Host, clock: Clock, log: Log, admission: Admission): Promise<void> {
  const { keys } = admission;
  const key = privateKeyOf(keys);
  const server: JoinServer = {
    publicKey: publicKeyOf(keys),
    sign: (message) => sign(null, message, key),
    clock,
    log,
    wasRemoved: (peer) => admission.consensus.catalog.wasRemoved(peer),
    supersession: (clusterId) => admission.consensus.catalog.cluster()?.former?.find((former) => former.clusterId === clusterId),
    mayJoin: ({ schema }) => versionsThatMayJoin(admission.consensus.catalog.cluster()?.version ?? 1, schema),
    onRefused: (newcomer, remoteHost, reason) =>
      admission.audit.note({ action: "join.refused", target: newcomer, detail: `${reason}, from ${remoteHost}` }),
    admit: (facts, tokenId, secretHash, newcomer, signal) =>
      admit(admission, memberOf(facts, newcomer), { id: tokenId, hash: secretHash }, signal, replacementIn(facts)),
  };
  await serveJoin(host, server);
}

const REASONS: Readonly<Partial<Record<Refusal, RefusalReason>>> = {
  tokenWrong: "wrong",
  tokenUsedUp: "usedUp",
  tokenExpired: "expired",
  tokenRevoked: "revoked",
  version: "version",
  nameTaken: "nameTaken",
  addressTaken: "addressTaken",
  unknown: "replaceUnknown",
  memberUp: "replaceUp",
  count: "replaceLost",
};

/** The first release that knew a command schema. */
const FIRST_RELEASES: Readonly<Record<number, string>> = { 1: "0.1.0" };

/** @returns undefined where one that knows `schema` may join, else which may */
export function versionsThatMayJoin(clusterVersion: number, schema: number): string | undefined {
  if (schema >= clusterVersion) return undefined;
  const first = FIRST_RELEASES[clusterVersion];
  return first === undefined ? `roadstead ${programVersion()}` : `roadstead ${first} or later`;
}

/** A token that is not good is told from this node's state, with a barrier: whoever comes without one writes nothing into the log. */
async function refuseEarly(
  consensus: Consensus,
  newcomer: PeerId,
  { id, hash }: { readonly id: string; readonly hash: Uint8Array },
  signal: AbortSignal,
): Promise<{ readonly refused: RefusalReason } | undefined> {
  if ((await consensus.barrier(signal)) === "cutOff")
    throw new OciError("UNAVAILABLE", "the node that was asked is cut off from the cluster");
  const { catalog } = consensus;
  // it was taken in, and did not hear of it: it is answered again
  if (catalog.members().some((member) => member.peerId === newcomer)) return undefined;
  const refused = tokenRefusal(catalog.joinToken(id), hash, catalog.time());
  const reason = refused === undefined ? undefined : REASONS[refused];
  return reason === undefined ? undefined : { refused: reason };
}

/** Decides on one newcomer that has shown a token's secret. @throws OciError DENIED; UNAVAILABLE without a quorum */
export async function admit(
  admission: Admission,
  member: MemberFacts,
  token: { readonly id: string; readonly hash: Uint8Array },
  signal: AbortSignal,
  replacement?: ReturnType<typeof replacementIn>,
): ReturnType<JoinServer["admit"]> {
  const { clusterId, consensus, keys } = admission;
  const early = await refuseEarly(consensus, member.peerId, token, signal);
  if (early !== undefined) return early;
  const command = await admissionOf(consensus.catalog, member, token, replacement);
  if ("refused" in command) return command;
  const outcome = await consensus.propose(command, { signal });
  const refused = outcome.refused === undefined ? undefined : REASONS[outcome.refused];
  if (refused !== undefined) return { refused };
  if (outcome.refused === "state") {
    throw new OciError("DENIED", "a node with this identity was removed from the cluster: join with an empty data folder", {
      peer: member.peerId,
    });
  }
  const raftId = outcome.value;
  if (outcome.refused !== undefined || raftId === undefined)
    throw new OciError("DENIED", `the cluster refused the node (${outcome.refused ?? "no number"})`);
  return {
    clusterId,
    raftId,
    publicKey: publicKeyOf(keys),
    clusterSecret: keys.secret,
    clusterKey: keys.key,
    certificate: signMembership(privateKeyOf(keys), { clusterId, peerId: member.peerId, raftId }),
    members: consensus.catalog.members().map(({ raftId: id, peerId, addresses }) => ({ raftId: id, peerId, addresses })),
  };
}

const NAME = /^[A-Za-z0-9._-]{0,63}$/;
const ADDRESSES_MAX = 16;
const ADDRESS_LENGTH_MAX = 256;

/** What a newcomer says of itself, checked: it goes into the catalog of every node. @throws OciError REQUEST_INVALID */
export function memberOf(facts: JoinFacts, peerId: PeerId): MemberFacts {
  const { name, zone, capacity, addresses, http, versionMax } = facts;
  const good =
    typeof name === "string" &&
    NAME.test(name) &&
    typeof zone === "string" &&
    NAME.test(zone) &&
    typeof capacity === "number" &&
    capacity > 0 &&
    capacity <= 1_000 &&
    typeof http === "string" &&
    http.length <= ADDRESS_LENGTH_MAX &&
    typeof versionMax === "number" &&
    Number.isSafeInteger(versionMax) &&
    Array.isArray(addresses) &&
    addresses.length > 0 &&
    addresses.length <= ADDRESSES_MAX &&
    addresses.every((address) => typeof address === "string" && address.startsWith("/") && address.length <= ADDRESS_LENGTH_MAX);
  if (!good) throw new OciError("REQUEST_INVALID", "what the node says of itself (name, zone, capacity, addresses) is not as it is to be");
  return { peerId, name, zone, capacity, addresses, http, versionMax };
}
