import { isUrgent } from "../../../src/consensus/libp2p/outgoing.ts";
import type { PeerMessage } from "../../../src/consensus/transport.ts";
import { encodePeerMessage } from "../../../src/consensus/wire.ts";

interface Sent {
  readonly key: string;
  /** How often its sender had been told, by then, that something was lost. */
  readonly losses: number;
}

/** What one process says to one peer. */
interface Link {
  losses: number;
  /** What has not arrived, in the order in which it was sent; what is urgent has its own. */
  readonly urgent: Sent[];
  readonly bulk: Sent[];
  /** How often each message was sent: of those that are sent again one cannot be told from the other. */
  readonly times: Map<string, number>;
}

/** What the transport takes arrives in its order, or its sender is told of a loss before it says more: Raft would bear it, and be slow. */
export class LinkRules {
  readonly #fail: (invariant: string, message: string) => void;
  readonly #links = new Map<string, Link>();

  constructor(fail: (invariant: string, message: string) => void) {
    this.#fail = fail;
  }

  /** @param nonce of the start of the sender */
  sent(nonce: string, to: number, messages: readonly PeerMessage[]): void {
    const link = this.#link(nonce, to);
    for (const message of messages) {
      const key = keyOf(message);
      link.times.set(key, (link.times.get(key) ?? 0) + 1);
      (isUrgent(message) ? link.urgent : link.bulk).push({ key, losses: link.losses });
    }
  }

  /** The sender hears that what it said may be lost. */
  lost(nonce: string, to: number): void {
    this.#link(nonce, to).losses += 1;
  }

  arrived(nonce: string, to: number, messages: readonly PeerMessage[]): void {
    const link = this.#link(nonce, to);
    for (const message of messages) this.#arrived(link, to, isUrgent(message) ? link.urgent : link.bulk, keyOf(message));
  }

  #arrived(link: Link, to: number, lane: Sent[], key: string): void {
    const at = lane.findIndex((each) => each.key === key);
    const found = lane[at];
    if (found === undefined) {
      this.#fail("a link delivers what was sent", `node ${to} heard a message that was not sent to it, or heard it twice`);
      return;
    }
    const single = (sent: Sent): boolean => link.times.get(sent.key) === 1;
    // What was told to be lost may be on its way all the same, and come later.
    const passed = lane.slice(0, at).some((before) => before.losses === found.losses && single(before));
    if (passed && single(found))
      this.#fail("what a link loses is told", `node ${to} heard a message, and not the one before it: nobody was told of a loss`);
    lane.splice(at, 1);
  }

  #link(nonce: string, to: number): Link {
    const name = `${nonce}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = { losses: 0, urgent: [], bulk: [], times: new Map() };
      this.#links.set(name, link);
    }
    return link;
  }
}

function keyOf(message: PeerMessage): string {
  return Buffer.from(encodePeerMessage(message)).toString("latin1");
}
