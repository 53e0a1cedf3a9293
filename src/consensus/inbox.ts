import type { RaftId } from "../core/peer.ts";
import type { RawNode } from "../raft/raw-node.ts";
import type { ConfState } from "../raft/types.ts";
import type { Contact } from "./contact.ts";
import { envelopeFault, envelopeHash } from "./forwarded-proposal.ts";
import { type Incarnations, refusalError } from "./incarnations.ts";
import type { LeaderLoss } from "./leader-loss.ts";
import type { Proposals } from "./proposals.ts";
import type { ReadyLoop } from "./ready-loop.ts";
import type { SealWatch } from "./seal-watch.ts";
import type { Snapshots } from "./snapshots.ts";
import type { Boot, BootRefusal, PeerMessage, Transport, TransportHandler } from "./transport.ts";

export interface InboxOptions {
  readonly self: RaftId;
  readonly node: Pick<RawNode, "reportUnreachable">;
  readonly loop: ReadyLoop;
  readonly transport: Transport;
  readonly contact: Contact;
  readonly incarnations: Incarnations;
  readonly leaderLoss: LeaderLoss;
  readonly proposals: Pick<Proposals, "refused" | "refusedOne">;
  readonly snapshots: Snapshots;
  readonly seals: Pick<SealWatch, "heard">;
  readonly leads: () => boolean;
  readonly leader: () => RaftId;
  readonly conf: () => ConfState;
}

/** What peers say, to whom it concerns. */
export class Inbox implements TransportHandler {
  readonly #options: InboxOptions;
  #stopped = false;

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  stop(): void {
    this.#stopped = true;
  }

  receive(from: RaftId, boot: Boot, messages: readonly PeerMessage[]): BootRefusal | undefined {
    if (this.#stopped) return undefined;
    const { contact, conf, incarnations } = this.#options;
    const refusal = incarnations.check(from, boot);
    if (refusal !== undefined) return refusal;
    incarnations.heard(from, messages);
    contact.heard(from);
    if (contact.cutOff) contact.recheck(conf());
    for (const message of messages) this.#deliver(from, message);
    return undefined;
  }

  async receiveSnapshot(from: RaftId, boot: Boot, header: Uint8Array, chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
    const { incarnations, snapshots } = this.#options;
    const refusal = incarnations.check(from, boot);
    if (refusal !== undefined) throw refusalError(from, refusal);
    return snapshots.receive(from, header, chunks);
  }

  refused(by: RaftId, refusal: BootRefusal): void {
    if (!this.#stopped) this.#options.incarnations.refused(by, refusal);
  }

  unreachable(to: RaftId): void {
    if (this.#stopped) return;
    const { node, leaderLoss, loop } = this.#options;
    node.reportUnreachable(to);
    leaderLoss.unreachable(to);
    loop.wake();
  }

  #deliver(from: RaftId, message: PeerMessage): void {
    const { self, loop, transport, leads, leader, proposals, seals } = this.#options;
    switch (message.kind) {
      case "raft": {
        const { type, to } = message.message;
        // A wish for another leader names whom as its sender, whoever sends it on.
        const isItsOwn = message.message.from === from || type === "transferLeader";
        // Proposals come as envelopes, which the leader stamps; snapshots on streams of their own.
        if (isItsOwn && to === self && type !== "propose" && type !== "snapshot") loop.step(message.message);
        break;
      }
      case "proposal":
        if (leads()) this.#takeProposal(from, message.envelope);
        else transport.send(from, [{ kind: "notLeader", leader: leader() }]);
        break;
      case "proposalRefused":
        if (from === leader()) proposals.refusedOne(message.envelope, message.reason);
        break;
      case "notLeader":
        // Whoever was taken for the leader is none.
        proposals.refused();
        break;
      case "ping":
        transport.send(from, [{ kind: "pong" }]);
        break;
      case "pong":
        break;
      case "seal":
        seals.heard(from, message.index, message.seal);
        break;
    }
  }

  /** What would halt every node at apply, or be answered to nobody, does not enter the log. */
  #takeProposal(from: RaftId, envelope: Uint8Array): void {
    const { loop, transport } = this.#options;
    const reason = envelopeFault(envelope);
    if (reason === undefined) loop.take([envelope]);
    else transport.send(from, [{ kind: "proposalRefused", envelope: envelopeHash(envelope), reason }]);
  }
}
