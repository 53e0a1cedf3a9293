import type { PeerId, RaftId } from "../core/peer.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { Peer } from "./cluster-state.ts";

/**
 * Who belongs to the cluster, for the host (G7) and the transport: the committed membership of the catalog, and until this node has one,
 * the members that took it in.
 */
export class Roster {
  #seeds: readonly Peer[] = [];
  #catalog: Catalog | undefined;

  setSeeds(seeds: readonly Peer[]): void {
    this.#seeds = seeds;
  }

  bind(catalog: Catalog): void {
    this.#catalog = catalog;
  }

  peers(): readonly Peer[] {
    return this.#catalog?.cluster() === undefined ? this.#seeds : this.#catalog.members();
  }

  isMember(peerId: PeerId): boolean {
    return this.#of(peerId) !== undefined;
  }

  addressesOf(peerId: PeerId): readonly string[] {
    return this.#of(peerId)?.addresses ?? [];
  }

  raftIdOf(peerId: PeerId): RaftId | undefined {
    return this.#of(peerId)?.raftId;
  }

  peerIdOf(raftId: RaftId): PeerId | undefined {
    return this.peers().find((peer) => peer.raftId === raftId)?.peerId;
  }

  #of(peerId: PeerId): Peer | undefined {
    return this.peers().find((peer) => peer.peerId === peerId);
  }
}
