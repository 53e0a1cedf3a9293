import type { Stream } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import { encode } from "../../core/codec.ts";
import { OciError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { type PeerId, parsePeerId, type RaftId } from "../../core/peer.ts";
import type { Random } from "../../core/random.ts";
import { AttemptLimit } from "../attempt-limit.ts";
import { fingerprintOf, hashSecret, type JoinToken, sameBytes } from "../join-token.ts";
import { type Supersession, standingStatement, verifyMembership, verifyWith } from "../membership-certificate.ts";
import { Channel } from "./channel.ts";
import type { Host } from "./host.ts";
import { asFields, bytesOf, count, packError, REQUEST_SIZE_MAX, text, throwIfError } from "./wire.ts";

export const JOIN_PROTOCOL = "/roadstead/join/1.0.0";

/** What a newcomer is handed once it has proven its token. */
export interface JoinAnswer {
  readonly clusterId: string;
  readonly raftId: RaftId;
  /** The cluster's public key, SPKI DER. */
  readonly publicKey: Uint8Array;
  readonly clusterSecret: Uint8Array;
  /** The cluster's private key, PKCS8 DER. */
  readonly clusterKey: Uint8Array;
  /** The cluster key's signature over the newcomer's peer id, the cluster id and the raft id. */
  readonly certificate: Uint8Array;
  readonly members: readonly { readonly raftId: RaftId; readonly peerId: PeerId; readonly addresses: readonly string[] }[];
}

/** The first thing that a newcomer says, whatever its version: the shape of this never changes. */
export interface ProgramVersion {
  /** `0.1.0`, for people. */
  readonly program: string;
  /** The highest command schema that it can apply. */
  readonly schema: number;
}

/** What a newcomer comes with. */
export interface JoinRequest {
  readonly token: JoinToken;
  readonly facts: JoinFacts;
  readonly version: ProgramVersion;
}

/** Plain data about the newcomer; the node gives it its meaning. */
export type JoinFacts = Readonly<Record<string, unknown>>;

const REFUSALS = {
  wrong: 'the cluster knows no such join token: make one with "roadstead token create"',
  usedUp: 'the join token is used up: make another with "roadstead token create"',
  expired: 'the join token has expired: make another with "roadstead token create"',
  revoked: 'the join token was revoked: make another with "roadstead token create"',
  tooManyAttempts: "too many failed attempts to join from this address: wait a minute",
  version: "the cluster runs a newer version than this node: install that version first",
  nameTaken:
    "a member of the cluster has this node's name: give this one another with --name; if it is to take that one's place, take that one out first (\"roadstead remove NAME\" on a member)",
  addressTaken:
    'a member of the cluster that is not down has this node\'s address: give this one another with --p2p or --advertise; if that member is gone for good, take it out first ("roadstead remove NAME" on a member)',
  replaceUnknown: 'no member of the cluster is called as --replace says: "roadstead nodes" on a member lists them',
  replaceUp:
    "the member that --replace names is not down: stop it, and wait until the cluster has found it down (cluster.downAfter); where this is that node, --old-identity FILE with its identity.key proves it",
  replaceLost:
    'the member that --replace names holds the only copy of some blobs: put its disk back, or give them up with --replace-lost; afterwards "roadstead lost" lists them',
} as const;

export type RefusalReason = keyof typeof REFUSALS;

/** The cluster does not take this node in; trying again with the same token is of no use, but for `tooManyAttempts`. */
export class JoinRefused extends Error {
  override readonly name = "JoinRefused";
  readonly reason: RefusalReason;

  /** @param what in place of what is said of the reason in general */
  constructor(reason: RefusalReason, what: string = REFUSALS[reason]) {
    super(what);
    this.reason = reason;
  }
}

/** Whoever answered is not the cluster that made the token: the secret was not told to it. */
class WrongCluster extends Error {
  override readonly name = "WrongCluster";
}

const ROUND_MS = 20_000;
export const NONCE_SIZE_BYTES = 32;
const FAILURES_MAX = 10;
const WINDOW_MS = 60_000;
const ANSWER_SIZE_MAX = 4 * 1024 * 1024;

/** What the cluster signs for a newcomer: fresh by its nonce, and bound to the two who speak. */
function proof(nonce: Uint8Array, newcomer: PeerId, member: PeerId): Uint8Array {
  return encode(["roadstead join 1", Buffer.from(nonce), newcomer, member]);
}

/**
 * Asks the members at `addresses`, one after the other, to take this node in.
 * @param addresses multiaddrs or `HOST:PORT`
 * @throws JoinRefused; WrongCluster; OciError UNAVAILABLE where none could be reached or the cluster has no quorum now (to be tried again)
 */
export async function requestJoin(
  host: Host,
  addresses: readonly string[],
  request: JoinRequest,
  random: Random,
  signal: AbortSignal,
): Promise<JoinAnswer> {
  let last: unknown;
  let wrong: WrongCluster | undefined;
  for (const address of addresses) {
    try {
      const { stream, peer } = await host.dialStranger([address], JOIN_PROTOCOL, signal);
      return await converse(stream, host.self, peer, request, random, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof JoinRefused) throw error;
      // of a name's addresses one may be another cluster's: what may come right by itself counts for more
      if (error instanceof WrongCluster) wrong = error;
      else last = error;
    }
  }
  if (last === undefined && wrong !== undefined) throw wrong;
  if (last instanceof OciError) throw last;
  throw new OciError("UNAVAILABLE", "no member of the cluster can be reached to join it", { addresses: addresses.join(" ") }, last);
}

async function converse(
  stream: Stream,
  self: PeerId,
  peer: PeerId,
  { token, facts, version }: JoinRequest,
  random: Random,
  signal: AbortSignal,
): Promise<JoinAnswer> {
  const channel = new Channel(stream);
  const unbind = channel.abortOn(signal);
  try {
    const nonce = Buffer.from(random.bytes(NONCE_SIZE_BYTES));
    await channel.writeFrame({ nonce, version });
    const shown = await answerOf(channel, REQUEST_SIZE_MAX);
    const publicKey = bytesOf(shown, "publicKey");
    checkCluster(publicKey, bytesOf(shown, "signature"), token, proof(nonce, self, peer));
    await channel.writeFrame({ id: token.id, secret: Buffer.from(token.secret), facts });
    const answer = parseAnswer(await answerOf(channel, ANSWER_SIZE_MAX), publicKey);
    if (!verifyMembership(publicKey, { clusterId: answer.clusterId, peerId: self, raftId: answer.raftId }, answer.certificate)) {
      throw new WrongCluster("the membership certificate that the cluster sent is not signed by its key");
    }
    return answer;
  } finally {
    unbind();
    channel.abort(new DOMException("the join is over", "AbortError"));
  }
}

function checkCluster(publicKey: Uint8Array, signature: Uint8Array, token: JoinToken, message: Uint8Array): void {
  if (!sameBytes(fingerprintOf(publicKey), token.fingerprint)) {
    throw new WrongCluster(
      "the node at this address belongs to another cluster than the one that made the join token: check address and token",
    );
  }
  if (!verifyWith(publicKey, message, signature)) {
    throw new WrongCluster(
      "the node at this address does not hold the key of the cluster that made the join token: it was not told the secret",
    );
  }
}

async function answerOf(channel: Channel, limitBytes: number): Promise<Readonly<Record<string, unknown>>> {
  const value = await channel.readFrame(limitBytes);
  if (value === undefined) throw new OciError("UNAVAILABLE", "the node that was asked to take this one in closed without an answer");
  const answer = asFields(value);
  if (answer.refused !== undefined) throw refusalIn(answer);
  throwIfError(answer);
  return answer;
}

function refusalIn({ refused, mayJoin }: Readonly<Record<string, unknown>>): JoinRefused {
  const reason = reasonOf(refused);
  if (reason !== "version" || typeof mayJoin !== "string") return new JoinRefused(reason);
  return new JoinRefused(reason, `the cluster takes in no node of this version: it takes ${mayJoin.slice(0, 200)}; install that`);
}

function reasonOf(value: unknown): RefusalReason {
  return typeof value === "string" && Object.hasOwn(REFUSALS, value) ? (value as RefusalReason) : "wrong";
}

function parseAnswer(fields: Readonly<Record<string, unknown>>, publicKey: Uint8Array): JoinAnswer {
  const members = Array.isArray(fields.members) ? fields.members.map(asFields) : [];
  return {
    clusterId: text(fields, "clusterId"),
    raftId: count(fields, "raftId"),
    publicKey,
    clusterSecret: bytesOf(fields, "clusterSecret"),
    clusterKey: bytesOf(fields, "clusterKey"),
    certificate: bytesOf(fields, "certificate"),
    members: members.map((member) => {
      const peerId = parsePeerId(text(member, "peerId"));
      if (peerId === undefined) throw new Error("the cluster listed a member without a peer id");
      const addresses = Array.isArray(member.addresses) ? member.addresses.filter((address) => typeof address === "string") : [];
      return { raftId: count(member, "raftId"), peerId, addresses };
    }),
  };
}

export interface JoinServer {
  /** The cluster's public key, SPKI DER. */
  readonly publicKey: Uint8Array;
  /** Signs with the cluster key (Ed25519). */
  readonly sign: (message: Uint8Array) => Uint8Array;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether the peer was a member and is out for good; false where this node does not know of it. */
  readonly wasRemoved: (peer: PeerId) => boolean;
  /** What became of a cluster that this one was before it was recovered, with that one's signature. */
  readonly supersession: (clusterId: string) => (Supersession & { readonly signature: Uint8Array }) | undefined;
  /** @returns undefined where a node of that version may join, else which may, in words: `roadstead 0.2.0 or later` */
  readonly mayJoin: (version: ProgramVersion) => string | undefined;
  /** Told of each refusal, for the audit trail. */
  readonly onRefused: (newcomer: PeerId, remoteHost: string, reason: RefusalReason) => void;
  /**
   * Decides, through consensus; any member may. Called again with the same peer it answers again without another use of the token.
   * @throws OciError UNAVAILABLE without a quorum
   */
  readonly admit: (
    facts: JoinFacts,
    tokenId: string,
    secretHash: Uint8Array,
    newcomer: PeerId,
    signal: AbortSignal,
  ) => Promise<JoinAnswer | { readonly refused: RefusalReason }>;
}

/** Answers newcomers: the one protocol that is open to peers that are no members (G7). */
export async function serveJoin(host: Host, server: JoinServer): Promise<void> {
  const limit = new AttemptLimit(server.clock, FAILURES_MAX, WINDOW_MS);
  await host.handle(
    JOIN_PROTOCOL,
    async (stream, newcomer, remote) => {
      const channel = new Channel(stream);
      const controller = new AbortController();
      const cancel = server.clock.after(ROUND_MS, () => controller.abort(new DOMException("the join took too long", "TimeoutError")));
      channel.onClosed(() => controller.abort(new DOMException("the newcomer went away", "AbortError")));
      channel.abortOn(controller.signal);
      try {
        const answer = await welcome(channel, host, newcomer, remote.host, limit, server, controller.signal);
        await channel.writeFrame(answer);
        await channel.end(server.clock);
      } catch (error) {
        channel.abort(error instanceof Error ? error : new Error(String(error)));
        throw error;
      } finally {
        cancel();
      }
    },
    { openToStrangers: true, streamsMax: 4 },
  );
}

/** One that says none is older than the handshake. */
function versionIn(frame: Readonly<Record<string, unknown>>): ProgramVersion {
  const { program, schema } = asFields(frame.version ?? {});
  return { program: typeof program === "string" ? program.slice(0, 64) : "", schema: typeof schema === "number" ? schema : 0 };
}

/** For a member that hears nothing any more. One of a cluster that this one was is believed by that one's key alone. */
function standingOf(
  { cluster }: Readonly<Record<string, unknown>>,
  nonce: Uint8Array,
  host: Host,
  asker: PeerId,
  server: JoinServer,
): Readonly<Record<string, unknown>> {
  const superseded = typeof cluster === "string" ? server.supersession(cluster) : undefined;
  if (superseded !== undefined) {
    return { superseded: { ...superseded, signature: Buffer.from(superseded.signature) }, member: host.isMember(asker) };
  }
  const removed = server.wasRemoved(asker);
  return { removed, signature: Buffer.from(server.sign(standingStatement(nonce, asker, host.self, removed))) };
}

async function welcome(
  channel: Channel,
  host: Host,
  newcomer: PeerId,
  remoteHost: string,
  limit: AttemptLimit,
  server: JoinServer,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  if (limit.isBlocked(remoteHost)) return { refused: "tooManyAttempts" };
  const { self } = host;
  const first = asFields(await channel.readFrame(REQUEST_SIZE_MAX));
  const nonce = bytesOf(first, "nonce");
  if (nonce.byteLength !== NONCE_SIZE_BYTES) throw new Error("the newcomer sent no nonce");
  if (first.standing === true) return standingOf(first, nonce, host, newcomer, server);
  const mayJoin = server.mayJoin(versionIn(first));
  if (mayJoin !== undefined) {
    server.log.warn({ newcomer, host: remoteHost, version: first.version }, "a node of a version that may not join was refused");
    server.onRefused(newcomer, remoteHost, "version");
    return { refused: "version", mayJoin };
  }
  await channel.writeFrame({ publicKey: Buffer.from(server.publicKey), signature: Buffer.from(server.sign(proof(nonce, newcomer, self))) });
  const asked = asFields(await channel.readFrame(REQUEST_SIZE_MAX));
  if (limit.isBlocked(remoteHost)) return { refused: "tooManyAttempts" }; // several at once must not get past the limit
  limit.failed(remoteHost); // taken back below: so that attempts in parallel count while they are decided
  let answer: Awaited<ReturnType<JoinServer["admit"]>>;
  try {
    answer = await server.admit(asFields(asked.facts ?? {}), text(asked, "id"), hashSecret(bytesOf(asked, "secret")), newcomer, signal);
  } catch (error) {
    limit.forgive(remoteHost);
    server.log.warn({ newcomer, error }, "a node could not be taken in");
    return packError(error);
  }
  if ("refused" in answer) {
    // the others have proven the secret: that is no guess
    if (answer.refused !== "wrong") limit.forgive(remoteHost);
    server.log.warn({ newcomer, host: remoteHost, refused: answer.refused }, "a node that asked to join was refused");
    server.onRefused(newcomer, remoteHost, answer.refused);
    return answer;
  }
  limit.forgive(remoteHost);
  server.log.info({ newcomer, raftId: answer.raftId }, "a node was taken in");
  return { ...answer, publicKey: undefined };
}
