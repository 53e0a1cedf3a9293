import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { AppliedCommand } from "../metadata/apply-entry.ts";
import { readBoot } from "../metadata/apply-session.ts";
import type { Command, Outcome } from "../metadata/commands.ts";
import type { ConfChange } from "../raft/conf-change.ts";
import type { RawNode } from "../raft/raw-node.ts";
import type { ConfState, SoftState } from "../raft/types.ts";
import { Applier, type ApplierOptions } from "./applier.ts";
import { commandVersion } from "./command-version.ts";
import type { Consensus, ConsensusStatus, Freshness } from "./consensus.ts";
import { Contact } from "./contact.ts";
import { createCoreNode } from "./core-node.ts";
import type { Fatal } from "./errors.ts";
import { handOver } from "./hand-over.ts";
import { Inbox } from "./inbox.ts";
import { Incarnations } from "./incarnations.ts";
import { LeaderLoss } from "./leader-loss.ts";
import { Listeners } from "./listeners.ts";
import { LogCutter } from "./log-cutter.ts";
import type { Membership, PeerProgress } from "./membership.ts";
import { Proposals, type ProposeOptions } from "./proposals.ts";
import { Reads } from "./reads.ts";
import { ReadyLoop } from "./ready-loop.ts";
import { outsideError } from "./refusals.ts";
import { ReplaceableCatalog } from "./replaceable-catalog.ts";
import { SealWatch } from "./seal-watch.ts";
import { Snapshots } from "./snapshots.ts";
import { isSoleVoter, soleIndex } from "./sole-voter.ts";
import type { SpaceGuard } from "./space-guard.ts";
import { type Position, positionOf, progressOf, statusOf } from "./status.ts";
import type { AppliedStore, RaftLog } from "./store.ts";
import type { Timing } from "./timing.ts";
import type { Boot, Transport } from "./transport.ts";

export interface DriverOptions {
  readonly self: RaftId;
  readonly boot: Boot;
  readonly log: RaftLog;
  readonly store: AppliedStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Log;
  readonly timing: Timing;
  /** Called once: the node must end. */
  readonly fatal: Fatal;
  readonly defer?: (run: () => void) => void;
  readonly guard?: SpaceGuard | undefined;
}

/** Drives the Raft core: the log, the applier, the transport, and the port for what stands above. */
export class Driver implements Consensus, Membership {
  readonly self: RaftId;
  readonly catalog: ReplaceableCatalog;
  readonly #options: DriverOptions;
  readonly #node: RawNode;
  readonly #loop: ReadyLoop;
  readonly #applier: Applier;
  readonly #contact: Contact;
  readonly #incarnations: Incarnations;
  readonly #inbox: Inbox;
  readonly #proposals: Proposals;
  readonly #reads: Reads;
  readonly #snapshots: Snapshots;
  readonly #cutter: LogCutter;
  readonly #leaderLoss: LeaderLoss;
  readonly #applied: Listeners<AppliedCommand>;
  readonly #configured: Listeners<void>;
  readonly #installed: Listeners<number>;
  #conf: ConfState;
  #soft: SoftState = { leader: 0, role: "follower" };
  #elections = 0;
  #stopTicks: (() => void) | undefined;
  #stopped = false;
  #failed = false;

  constructor(options: DriverOptions) {
    const { self, boot, store, transport, clock, random, logger, timing, log } = options;
    this.#options = options;
    this.self = self;
    this.catalog = new ReplaceableCatalog(store);
    this.#applied = new Listeners(logger);
    this.#configured = new Listeners(logger);
    this.#installed = new Listeners(logger);
    this.#conf = store.confState;
    const fatal = (error: Error) => this.fail(error);
    this.#node = createCoreNode(options);
    this.#incarnations = new Incarnations({ self, boot, recorded: (peer) => readBoot(store, peer), outdated: fatal });
    this.#applier = this.#makeApplier(fatal);
    this.#snapshots = this.#makeSnapshots();
    this.#loop = this.#makeLoop(fatal);
    this.#contact = new Contact({
      self,
      clock,
      timeoutMs: timing.contactMs,
      tickMs: timing.tickMs,
      ping: (to) => transport.send(to, [{ kind: "ping" }]),
      changed: (cutOff) => this.#cutOffChanged(cutOff),
    });
    this.#leaderLoss = new LeaderLoss({
      clock,
      random,
      node: this.#node,
      tickMs: timing.tickMs,
      leader: () => this.#soft.leader,
      heardWithin: (id, ms) => this.#contact.heardWithin(id, ms),
      campaigned: () => this.#loop.wake(),
    });
    const common = { self, clock, random, timing, cutOff: () => this.#contact.cutOff };
    this.#proposals = new Proposals({
      ...common,
      boot,
      version: () => commandVersion(this.catalog.cluster()),
      outdated: () => this.#incarnations.refusedByCatalog(),
      submit: (envelopes) => this.#submit(envelopes),
    });
    this.#reads = new Reads({
      ...common,
      soleIndex: () => soleIndex(self, this.#conf, this.#node, store),
      appliedIndex: () => store.appliedIndex,
      ask: (context) => this.#askRead(context),
      leaderHeard: () => this.#contact.heardWithin(this.#soft.leader, timing.readRoundMs),
      unanswered: (unanswered) => this.#contact.setUnanswered(unanswered),
    });
    this.#cutter = new LogCutter({ log, store, timing, keepFrom: () => Math.min(this.#snapshots.keepFrom, this.#node.status().applied) });
    this.#inbox = this.#makeInbox();
  }

  /** Begins to take part. */
  async start(): Promise<void> {
    const { boot, transport, clock, timing, store } = this.#options;
    await transport.start(this.#inbox, boot);
    store.onSynced(() => this.#cutter.cut());
    this.#stopTicks = clock.every(timing.tickMs, () => this.#tick());
    // Alone, there is nobody to wait for.
    if (isSoleVoter(this.self, this.#conf)) this.#node.campaign();
    this.#loop.wake();
    this.#options.guard?.start(this);
  }

  propose(command: Command, options: ProposeOptions = {}): Promise<Outcome> {
    const refusal = this.#conf.voters.length === 0 ? outsideError() : this.#options.guard?.refusal;
    return refusal === undefined ? this.#proposals.propose(command, options) : Promise.reject(refusal);
  }

  barrier(signal?: AbortSignal): Promise<Freshness> {
    return this.#conf.voters.length === 0 ? Promise.reject(outsideError()) : this.#reads.barrier(signal);
  }

  status(): ConsensusStatus {
    const { store, transport } = this.#options;
    const own = { conf: this.#conf, elections: this.#elections, progress: this.progress(), catalog: this.catalog };
    return statusOf({ node: this.#node.status(), store, transport, cutOff: this.#contact.cutOff, snapshots: this.#snapshots, ...own });
  }

  /** Where it stands itself: cheaper than all of `status`. */
  position = (): Position => positionOf(this.#node.status(), this.#options.store);

  onApplied(listener: (applied: AppliedCommand) => void): () => void {
    return this.#applied.add(listener);
  }

  onSynced(listener: (index: number) => void): () => void {
    return this.#options.store.onSynced(listener);
  }

  /** Puts on stable storage what has applied here; whoever waits for that is told by `onSynced`. */
  sync = (): Promise<void> => this.#options.store.sync();

  /** Each entry that applies here, with the seal as of it. */
  onSeal(listener: (index: number, seal: Uint8Array) => void): () => void {
    return this.#options.store.onSeal(listener);
  }

  onInstalled(listener: (index: number) => void): () => void {
    return this.#installed.add(listener);
  }

  onConfiguration(listener: () => void): () => void {
    return this.#configured.add(listener);
  }

  leads(): boolean {
    return this.#soft.role === "leader" && !this.#stopped;
  }

  configuration(): ConfState {
    return this.#conf;
  }

  progress(): readonly PeerProgress[] {
    const { tickMs, electionTicks } = this.#options.timing;
    return progressOf(this.#node.status(), electionTicks, (peer, ticks) => this.#contact.heardWithin(peer, tickMs * ticks));
  }

  /** This node's log, for whoever only looks at it. */
  get log(): Pick<RaftLog, "firstIndex" | "term"> {
    return this.#options.log;
  }

  lastIndex(): number {
    return this.#options.log.lastIndex();
  }

  /** Hash over all that has applied: the same on every member at the same index. */
  seal(): Uint8Array {
    return this.#options.store.seal;
  }

  proposeConfChange(change: ConfChange): string | undefined {
    if (!this.leads()) return "noLeader";
    const refusal = this.#node.proposeConfChange(change);
    this.#loop.wake();
    return refusal;
  }

  transferLeader(to: RaftId): void {
    this.#node.transferLeader(to);
    this.#loop.wake();
  }

  /** Hands leadership over where it can, flushes everything and closes the log and the catalog. */
  async close(): Promise<void> {
    const { clock, timing } = this.#options;
    if (!this.#stopped) await handOver(this, clock, timing.tickMs * timing.electionTicks);
    this.#stop();
    await this.#options.transport.close();
    await this.#applier.stop();
    const closed = await Promise.allSettled([this.#options.store.close(), this.#options.log.close()]);
    const failed = closed.find((each) => each.status === "rejected");
    // After a failed write there is nothing more to flush, and it has been told.
    if (failed !== undefined && !this.#failed) throw failed.reason;
  }

  #makeApplier(fatal: Fatal): Applier {
    const { store, timing } = this.#options;
    return new Applier({
      store,
      fatal,
      batchBytes: timing.appendBytes,
      applyConfChange: (data, index) => {
        this.#conf = this.#node.applyConfChange(data, index);
        return this.#conf;
      },
      applied: (batch) => this.#afterBatch(batch),
    });
  }

  #makeSnapshots(): Snapshots {
    const { self, store, transport, clock, logger } = this.#options;
    return new Snapshots({
      self,
      store,
      transport,
      clock,
      applier: this.#applier,
      log: logger,
      report: (to, status) => {
        this.#node.reportSnapshot(to, status);
        this.#loop.wake();
      },
      step: (message) => this.#loop.step(message),
      installed: () => this.#afterInstall(),
    });
  }

  #makeLoop(fatal: Fatal): ReadyLoop {
    const { self, log, transport, clock, timing, defer = setImmediate } = this.#options;
    return new ReadyLoop({
      self,
      node: this.#node,
      log,
      transport,
      fatal,
      applier: this.#applier,
      monotonicMs: () => clock.monotonicMs(),
      version: () => commandVersion(this.catalog.cluster()),
      defer,
      appendBytes: timing.appendBytes,
      soft: (state) => this.#softChanged(state),
      reads: (states) => this.#reads.answered(states),
      sendSnapshot: (message) => this.#snapshots.send(message),
    });
  }

  #makeInbox(): Inbox {
    const { store, transport, logger: log, timing } = this.#options;
    const common = { self: this.self, transport, conf: () => this.#conf };
    return new Inbox({
      ...common,
      node: this.#node,
      loop: this.#loop,
      contact: this.#contact,
      incarnations: this.#incarnations,
      leaderLoss: this.#leaderLoss,
      proposals: this.#proposals,
      snapshots: this.#snapshots,
      leads: () => this.leads(),
      leader: () => this.#soft.leader,
      seals: new SealWatch({ ...common, store, log, everyEntries: timing.sealEntries, diverged: (error) => this.fail(error) }),
    });
  }

  #tick(): void {
    if (this.#stopped) return;
    this.#loop.tick();
    this.#contact.check(this.#conf);
    this.#proposals.tick();
    this.#reads.tick();
    if (this.leads()) this.#loop.moveTime(this.#options.timing.clockTickMs, this.#options.random);
  }

  #submit(envelopes: readonly Uint8Array[]): boolean {
    if (this.leads()) {
      this.#loop.take(envelopes);
      return true;
    }
    const { leader } = this.#soft;
    if (leader === 0 || leader === this.self) return false;
    const proposals = envelopes.map((envelope) => ({ kind: "proposal" as const, envelope }));
    this.#options.transport.send(leader, proposals);
    return true;
  }

  #askRead(context: Uint8Array): boolean {
    if (this.#stopped || this.#node.readIndex(context) !== undefined) return false;
    this.#loop.wake();
    return true;
  }

  #softChanged(state: SoftState): void {
    const before = this.#soft;
    this.#soft = state;
    if (state.leader !== 0 && state.leader !== before.leader) {
      this.#elections += 1;
      this.#options.logger.info({ leader: state.leader, term: this.#node.status().term }, "a leader was found");
    }
    if (state.role !== before.role) {
      if (state.role === "leader" || before.role === "leader") this.#loop.roleChanged();
      this.#configured.emit();
    }
    if (state.leader === before.leader && state.role === before.role) return;
    this.#proposals.leaderChanged();
    this.#reads.leaderChanged();
  }

  #cutOffChanged(cutOff: boolean): void {
    this.#options.logger.warn({}, cutOff ? "cut off: no contact with a majority of voters" : "back in contact with a majority of voters");
    if (!cutOff) return;
    this.#proposals.cutOff();
    this.#reads.cutOff();
  }

  #afterBatch(batch: Parameters<ApplierOptions["applied"]>[0]): void {
    if (this.#stopped) return;
    this.catalog.changed(batch.keys);
    for (const reply of batch.replies) this.#node.step(reply);
    for (const applied of batch.commands) {
      if (applied.command.type === "session.open" && applied.outcome.refused === undefined) this.#incarnations.opened(applied.command);
      this.#applied.emit(applied);
    }
    this.#proposals.applied(batch.commands);
    this.#reads.applied(batch.index);
    if (batch.confChanged) this.#configured.emit();
    this.#loop.process();
  }

  #afterInstall(): void {
    const { store } = this.#options;
    this.#conf = store.confState;
    this.#incarnations.replaced();
    this.catalog.replaced();
    this.#installed.emit(store.appliedIndex);
    this.#reads.applied(store.appliedIndex);
    this.#configured.emit();
  }

  #stop(): void {
    this.#stopped = true;
    this.#stopTicks?.();
    this.#options.guard?.stop();
    this.#inbox.stop();
    this.#leaderLoss.stop();
    this.#loop.stop();
    this.#snapshots.stop();
    this.#proposals.stop();
    this.#reads.stop();
  }

  /** Ends the node's part: `error` goes to `fatal`, once, which tells of it. */
  fail(error: Error): void {
    if (this.#stopped) return;
    this.#failed = true;
    this.#stop();
    this.#options.fatal(error);
  }
}
