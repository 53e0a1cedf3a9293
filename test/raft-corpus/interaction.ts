import { RaftError, type RaftErrorCode } from "../../src/raft/errors.ts";
import { isVoter } from "../../src/raft/quorum.ts";
import { describeProgress, roleName } from "../../src/raft/text.ts";
import type { Message, Refusal, StepRefusal } from "../../src/raft/types.ts";
import { ClusterNode } from "./cluster-node.ts";
import { checkDirective } from "./directives.ts";
import {
  formatEntries,
  formatMessage,
  formatReady,
  formatStorageAppend,
  formatStorageApply,
  MESSAGE_TYPES,
  type WireMessage,
} from "./format.ts";
import { HarnessError } from "./harness-error.ts";
import { type NodeOptions, nodeOptions } from "./node-options.ts";
import { parseOperations } from "./operations.ts";
import { Output, parseLevel } from "./output.ts";
import { type Directive, flag, option, positional, positionalIds, wholeNumber } from "./parser.ts";

/** What a driver can bring about is part of a transcript; anything else that the core throws is a failure of the test. */
const TRANSCRIBED: ReadonlySet<RaftErrorCode> = new Set(["configInvalid", "snapshotOutOfDate"]);

const ELECTION_TICK = 3;
const HEARTBEAT_TICK = 1;

/** The environment of the interaction tests: nodes, one queue of messages in flight, and what a directive prints. */
export class Interaction {
  readonly #output = new Output();
  readonly #nodes: ClusterNode[] = [];
  #inFlight: WireMessage[] = [];
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  run(directive: Directive): string {
    this.#output.take();
    try {
      this.#execute(directive);
    } catch (error) {
      if (!(error instanceof HarnessError || (error instanceof RaftError && TRANSCRIBED.has(error.code)))) throw error;
      if (this.#output.quiet) return error.message;
      this.#output.write(error.message);
    }
    const text = this.#output.take();
    return text === "" ? "ok" : text;
  }

  #execute(directive: Directive): void {
    checkDirective(directive);
    const handler = this.#handlers[directive.command];
    if (handler === undefined) throw new Error(`${directive.command} is listed, but nothing runs it`);
    handler(directive);
  }

  readonly #handlers: Readonly<Record<string, (directive: Directive) => void>> = {
    _breakpoint: () => {},
    "add-nodes": (directive) => this.#addNodes(nodeOptions(directive)),
    campaign: (directive) => this.#first(directive).raw.campaign(),
    compact: (directive) => this.#compact(directive),
    "deliver-msgs": (directive) => this.#deliverDirective(directive),
    "forget-leader": (directive) => this.#first(directive).raw.forgetLeader(),
    "log-level": (directive) => {
      this.#output.level = parseLevel(positional(directive)[0] ?? "");
    },
    "process-append-thread": (directive) => this.#each(directive, "processing append thread", (node) => this.#processAppend(node)),
    "process-apply-thread": (directive) => this.#each(directive, "processing apply thread", (node) => this.#processApply(node)),
    "process-ready": (directive) => this.#each(directive, "handling Ready", (node) => this.#processReady(node)),
    propose: (directive) => this.#propose(directive),
    "propose-conf-change": (directive) => this.#proposeConfChange(directive),
    "raft-log": (directive) => this.#printLog(this.#first(directive)),
    "raft-state": () => this.#printStates(),
    "read-index": (directive) => {
      this.#first(directive).raw.readIndex(dataOf(directive));
    },
    "report-snapshot": (directive) => this.#reportSnapshot(directive),
    "report-unreachable": (directive) => this.#first(directive).raw.reportUnreachable(positionalIds(directive)[1] as number),
    "send-snapshot": (directive) => this.#sendSnapshot(directive),
    "set-randomized-election-timeout": (directive) => this.#first(directive).raw.setElectionTimeout(Number(option(directive, "timeout"))),
    stabilize: (directive) => this.#stabilizeDirective(directive),
    status: (directive) => this.#printStatus(this.#first(directive)),
    "tick-election": (directive) => this.#tick(this.#first(directive), ELECTION_TICK),
    "tick-heartbeat": (directive) => this.#tick(this.#first(directive), HEARTBEAT_TICK),
    "transfer-leadership": (directive) => this.#node(Number(option(directive, "from"))).raw.transferLeader(Number(option(directive, "to"))),
  };

  #node(id: number): ClusterNode {
    const node = this.#nodes[id - 1];
    if (node === undefined) throw new HarnessError(`node ${id} does not exist`);
    return node;
  }

  #first(directive: Directive): ClusterNode {
    return this.#node(wholeNumber(directive.args[0]?.key ?? ""));
  }

  /** For one node the bare text; for several each under a header of its own. */
  #each(directive: Directive, what: string, run: (node: ClusterNode) => void): void {
    const ids = positionalIds(directive);
    for (const id of ids) {
      const node = this.#node(id);
      if (ids.length === 1) run(node);
      else this.#section(node, what, () => run(node));
    }
  }

  #section(node: ClusterNode, what: string, run: () => void): void {
    this.#output.write(`> ${node.id} ${what}\n`);
    this.#output.indented(run);
  }

  #addNodes({ count, snapshot, config }: NodeOptions): void {
    for (let i = 0; i < count; i += 1) {
      const id = this.#nodes.length + 1;
      const ticks = { electionTick: ELECTION_TICK, heartbeatTick: HEARTBEAT_TICK };
      const log = (level: Parameters<Output["log"]>[0], line: () => string): void => this.#output.log(level, line);
      this.#nodes.push(new ClusterNode({ ...config, ...ticks, id, random: this.#random, log }, snapshot));
    }
  }

  #propose(directive: Directive): void {
    this.#refuse(this.#first(directive).raw.propose(dataOf(directive)));
  }

  #proposeConfChange(directive: Directive): void {
    const changes = parseOperations(directive.input);
    const isV1 = flag(directive, "v1");
    const name = option(directive, "transition") ?? "auto";
    const transition = name === "auto" ? "auto" : name === "implicit" ? "jointImplicit" : name === "explicit" ? "jointExplicit" : undefined;
    if (transition === undefined) throw new HarnessError(`unknown transition ${name}`);
    if (isV1 && (changes.length !== 1 || transition !== "auto")) {
      throw new HarnessError("v1 conf change can only have one operation and no transition");
    }
    this.#refuse(this.#first(directive).raw.proposeConfChange({ transition, changes, context: undefined }, isV1 ? 1 : 2));
  }

  #refuse(refusal: Refusal | undefined): void {
    if (refusal !== undefined) throw new HarnessError(refusalText(refusal));
  }

  #tick(node: ClusterNode, ticks: number): void {
    for (let i = 0; i < ticks; i += 1) node.raw.tick();
  }

  #processReady(node: ClusterNode): void {
    const ready = node.raw.ready();
    this.#output.write(formatReady(node.id, ready));
    if (node.isAsync) {
      this.#inFlight.push(...ready.messages);
      if (ready.storageAppend !== undefined) node.appendWork.push(ready.storageAppend);
      if (ready.storageApply !== undefined) node.applyWork.push(ready.storageApply);
      return;
    }
    node.append(ready.hardState, ready.entries, ready.snapshot);
    node.apply(ready.committedEntries);
    this.#inFlight.push(...ready.messages);
    node.raw.advance();
  }

  #processAppend(node: ClusterNode): void {
    const work = node.appendWork.shift();
    if (work === undefined) {
      this.#output.write("no append work to perform");
      return;
    }
    this.#output.write(`Processing:\n${formatStorageAppend(node.id, { ...work, responses: [] })}\n`);
    node.append(work.hardState, work.entries, work.snapshot);
    this.#respond(work.responses);
  }

  #processApply(node: ClusterNode): void {
    const work = node.applyWork.shift();
    if (work === undefined) {
      this.#output.write("no apply work to perform");
      return;
    }
    this.#output.write(`Processing:\n${formatStorageApply(node.id, { ...work, responses: [] })}\n`);
    node.apply(work.entries);
    this.#respond(work.responses);
  }

  #respond(responses: readonly WireMessage[]): void {
    this.#output.write("Responses:\n");
    for (const response of responses) this.#output.write(`${formatMessage(response)}\n`);
    this.#inFlight.push(...responses);
  }

  #deliverDirective(directive: Directive): void {
    const type = option(directive, "type");
    if (type !== undefined && !MESSAGE_TYPES.includes(type)) throw new HarnessError(`unknown message type ${type}`);
    const delivered = positionalIds(directive);
    let handled = 0;
    for (const { key, values } of directive.args) {
      if (values.length === 0) handled += this.#deliver(Number(key), type, false);
      if (key !== "drop") continue;
      for (const id of values.map(Number)) {
        if (delivered.includes(id)) throw new HarnessError(`can't both deliver and drop msgs to ${id}`);
        handled += this.#deliver(id, type, true);
      }
    }
    if (handled === 0) this.#output.write("no messages\n");
  }

  /** @returns how many messages there were */
  #deliver(to: number, type: string | undefined, drop: boolean): number {
    const taken: WireMessage[] = [];
    const left: WireMessage[] = [];
    for (const message of this.#inFlight) {
      const matches = message.to === to && (type === undefined || formatMessage(message).split(" ")[1] === type);
      (matches && !(drop && isLocal(message)) ? taken : left).push(message);
    }
    this.#inFlight = left;
    for (const message of taken) {
      this.#output.write(`${drop ? "dropped: " : ""}${formatMessage(message)}\n`);
      if (drop) continue;
      const refusal = this.#node(to).raw.step(message);
      if (refusal !== undefined) this.#output.write(`${refusalText(refusal)}\n`);
    }
    return taken.length;
  }

  #stabilizeDirective(directive: Directive): void {
    const level = option(directive, "log-level");
    const before = this.#output.level;
    if (level !== undefined) this.#output.level = parseLevel(level);
    try {
      const ids = positionalIds(directive);
      this.#stabilize(ids.length === 0 ? this.#nodes : ids.map((id) => this.#node(id)));
    } finally {
      this.#output.level = before;
    }
  }

  #stabilize(nodes: readonly ClusterNode[]): void {
    for (let busy = true; busy; ) {
      busy = false;
      const visit = (what: string, hasWork: (node: ClusterNode) => boolean, run: (node: ClusterNode) => void): void => {
        for (const node of nodes) {
          if (!hasWork(node)) continue;
          busy = true;
          this.#section(node, what, () => run(node));
        }
      };
      visit(
        "handling Ready",
        (node) => node.raw.hasReady(),
        (node) => this.#processReady(node),
      );
      visit(
        "receiving messages",
        (node) => this.#inFlight.some(({ to }) => to === node.id),
        (node) => this.#deliver(node.id, undefined, false),
      );
      const appends = (node: ClusterNode): void => {
        while (node.appendWork.length > 0) this.#processAppend(node);
      };
      visit("processing append thread", (node) => node.appendWork.length > 0, appends);
      const applies = (node: ClusterNode): void => {
        while (node.applyWork.length > 0) this.#processApply(node);
      };
      visit("processing apply thread", (node) => node.applyWork.length > 0, applies);
    }
  }

  #sendSnapshot(directive: Directive): void {
    const [from, to] = positionalIds(directive) as [number, number];
    const node = this.#node(from);
    const message: Message = { type: "snapshot", from, to, term: node.raw.status().term, snapshot: node.storage.snapshot() };
    this.#inFlight.push(message);
    this.#output.write(formatMessage(message));
  }

  #reportSnapshot(directive: Directive): void {
    const [id, peer, status] = positional(directive);
    if (status !== "finish" && status !== "failure") throw new HarnessError(`a snapshot ends in finish or failure, not ${status}`);
    this.#node(Number(id)).raw.reportSnapshot(Number(peer), status);
  }

  #compact(directive: Directive): void {
    const node = this.#first(directive);
    const index = Number(positional(directive)[1]);
    if (index < node.storage.firstIndex()) throw new HarnessError("requested index is unavailable due to compaction");
    const last = node.storage.lastIndex();
    if (!(index <= last)) throw new HarnessError(`compact ${index} is out of bound lastindex(${last})`);
    node.storage.compact(index);
    this.#printLog(node);
  }

  #printLog(node: ClusterNode): void {
    const first = node.storage.firstIndex();
    const last = node.storage.lastIndex();
    if (first > last) {
      this.#output.write(`log is empty: first index=${first}, last index=${last}`);
      return;
    }
    const entries = node.storage.entries(first, last + 1, Number.POSITIVE_INFINITY);
    if (typeof entries === "string") throw new HarnessError(entries);
    this.#output.write(formatEntries(entries));
  }

  #printStates(): void {
    for (const node of this.#nodes) {
      const { id, role, term, leader, config } = node.raw.status();
      const kind = isVoter(config.voters, id) ? "Voter" : "Non-Voter";
      this.#output.write(`${id}: ${roleName(role)} (${kind}) Term:${term} Lead:${leader}\n`);
    }
  }

  #printStatus(node: ClusterNode): void {
    for (const [id, progress] of node.raw.status().progress) this.#output.write(`${id}: ${describeProgress(progress)}\n`);
  }
}

/** The second word, also where it looks like an option; its quotes are part of it. */
function dataOf(directive: Directive): Uint8Array {
  return new TextEncoder().encode(directive.args[1]?.key);
}

/** What a node says to itself, or storage to it, is never lost. */
function isLocal(message: WireMessage): boolean {
  return message.type === "storageAppendReply" || message.type === "storageApplyReply" || message.from === message.to;
}

function refusalText(refusal: StepRefusal): string {
  return refusal === "unknownPeer" ? "raft: cannot step as peer not found" : "raft proposal dropped";
}
