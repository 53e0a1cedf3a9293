import type { Clock } from "../core/clock.ts";
import { OciError } from "../core/errors.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import { Channel } from "../exchange/libp2p/channel.ts";
import type { Host } from "../exchange/libp2p/host.ts";
import { asFields, bytesOf, count, packError, REQUEST_SIZE_MAX, text, throwIfError } from "../exchange/libp2p/wire.ts";
import { type ClusterKeys, type Peer, parsePeers } from "./cluster-state.ts";

/** Between members alone (G7), of which some may be in the cluster that another one was recovered as. */
const RECOVER_PROTOCOL = "/roadstead/recover/1.0.0";

/** How far a survivor is. */
export interface Survey {
  readonly clusterId: string;
  /** The highest that it has seen. */
  readonly term: number;
  readonly lastTerm: number;
  readonly lastIndex: number;
  /** It knows that this much is committed. */
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** Without contact with a majority. */
  readonly cutOff: boolean;
  /** Of the entry that was asked about; 0 where its log does not have it. */
  readonly termAt: number;
}

/** To the survivor that the cluster is to go on from. */
export interface LeadWish {
  readonly from: string;
  /** Members that answered, itself among them. */
  readonly survivors: readonly RaftId[];
  readonly lost: readonly RaftId[];
  /** At which the new group begins. */
  readonly term: number;
  readonly by: string;
}

/** What a survivor needs to follow. */
export interface HandOver {
  readonly clusterId: string;
  readonly keys: ClusterKeys;
  readonly term: number;
  /** Votes in the new cluster. */
  readonly voter: RaftId;
  readonly peers: readonly Peer[];
}

export interface RecoveryServer {
  survey(at: number): Survey;
  /** Promises, for a minute, neither to lead a recovery nor to let another than `to` do so. @throws OciError CONFLICT where it cannot */
  yieldTo(from: string, to: RaftId): void;
  /** @returns the id of the new cluster. @throws OciError CONFLICT where this node has a quorum */
  lead(wish: LeadWish): Promise<string>;
  /** @throws OciError NOT_FOUND where this cluster was not recovered from that one */
  handOver(from: string): HandOver;
}

type Fields = Readonly<Record<string, unknown>>;

/** A cluster of hundreds, with their addresses. */
const ANSWER_SIZE_MAX = 1024 * 1024;
const PATIENCE_MS = 2_000;
const LEAD_PATIENCE_MS = 10_000;

export async function serveRecovery(host: Host, clock: Clock, server: RecoveryServer): Promise<void> {
  await host.handle(RECOVER_PROTOCOL, async (stream) => {
    const channel = new Channel(stream);
    const request = asFields((await channel.readFrame(REQUEST_SIZE_MAX)) ?? {});
    await channel.writeFrame(await answer(server, request).catch(packError));
    await channel.end(clock);
  });
}

async function answer(server: RecoveryServer, request: Fields): Promise<Fields> {
  switch (request.op) {
    case "survey":
      return { ...server.survey(count(request, "at")) };
    case "yield":
      server.yieldTo(text(request, "from"), count(request, "to"));
      return {};
    case "lead": {
      const ids = (value: unknown): RaftId[] => (Array.isArray(value) ? value.map(Number) : []);
      const [survivors, lost] = [ids(request.survivors), ids(request.lost)];
      const wish = { from: text(request, "from"), survivors, lost, term: count(request, "term"), by: text(request, "by") };
      return { clusterId: await server.lead(wish) };
    }
    case "handOver": {
      const { keys, peers, ...rest } = server.handOver(text(request, "from"));
      return { ...rest, peers: [...peers], secret: Buffer.from(keys.secret), key: Buffer.from(keys.key) };
    }
    default:
      throw new OciError("UNSUPPORTED", "this node does not know what it was asked for: it runs another version");
  }
}

/** @returns undefined where the member is not reached, or does not answer in time */
export async function askSurvey(host: Host, peer: PeerId, at: number, clock: Clock): Promise<Survey | undefined> {
  try {
    const fields = await ask(host, peer, { op: "survey", at }, PATIENCE_MS, clock);
    const [term, lastTerm, lastIndex, commitIndex, appliedIndex, termAt] = [
      "term",
      "lastTerm",
      "lastIndex",
      "commitIndex",
      "appliedIndex",
      "termAt",
    ].map((key) => count(fields, key)) as [number, number, number, number, number, number];
    const cutOff = fields.cutOff === true;
    return { clusterId: text(fields, "clusterId"), term, lastTerm, lastIndex, commitIndex, appliedIndex, cutOff, termAt };
  } catch {
    return undefined; // whatever it is: nothing can be built on that member now
  }
}

/** @throws OciError as the member refuses it; UNAVAILABLE */
export async function askToYield(host: Host, peer: PeerId, from: string, to: RaftId, clock: Clock): Promise<void> {
  await ask(host, peer, { op: "yield", from, to }, PATIENCE_MS, clock);
}

/** @throws OciError as the member refuses it; UNAVAILABLE */
export async function askToLead(host: Host, peer: PeerId, wish: LeadWish, clock: Clock): Promise<string> {
  return text(
    await ask(host, peer, { op: "lead", ...wish, survivors: [...wish.survivors], lost: [...wish.lost] }, LEAD_PATIENCE_MS, clock),
    "clusterId",
  );
}

/** @throws OciError as the member refuses it; UNAVAILABLE */
export async function askHandOver(host: Host, peer: PeerId, from: string, clock: Clock): Promise<HandOver> {
  const fields = await ask(host, peer, { op: "handOver", from }, PATIENCE_MS, clock);
  const peers = Array.isArray(fields.peers) ? parsePeers(fields.peers) : undefined;
  if (peers === undefined) throw new OciError("UNAVAILABLE", "the member did not say who is in the recovered cluster");
  const keys = { secret: Uint8Array.from(bytesOf(fields, "secret")), key: Uint8Array.from(bytesOf(fields, "key")) };
  return { clusterId: text(fields, "clusterId"), keys, term: count(fields, "term"), voter: count(fields, "voter"), peers };
}

async function ask(host: Host, peer: PeerId, request: Fields, patienceMs: number, clock: Clock): Promise<Fields> {
  const late = new AbortController();
  const cancel = clock.after(patienceMs, () => late.abort(new OciError("UNAVAILABLE", "a member did not answer in time", { peer })));
  let channel: Channel | undefined;
  try {
    channel = new Channel(await host.dial(peer, RECOVER_PROTOCOL, late.signal));
    channel.abortOn(late.signal);
    await channel.writeFrame(request);
    const fields = asFields((await channel.readFrame(ANSWER_SIZE_MAX)) ?? {});
    throwIfError(fields);
    await channel.end(clock);
    return fields;
  } catch (error) {
    channel?.abort(error instanceof Error ? error : new Error(String(error)));
    throw error;
  } finally {
    cancel();
  }
}
