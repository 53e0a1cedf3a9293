import type { Driver } from "../../src/consensus/driver.ts";
import { sessionError } from "../../src/consensus/refusals.ts";
import type { Digest } from "../../src/core/digest.ts";
import type { Random } from "../../src/core/random.ts";
import type { RepositoryName, Tag } from "../../src/core/reference.ts";
import type { Command, Outcome } from "../../src/metadata/commands.ts";
import { SECRET_HASH } from "../../src/metadata/scenario.ts";
import type { Cluster } from "./cluster.ts";
import type { Owner } from "./event-heap.ts";
import { checkLinearizable } from "./linearizability/check.ts";
import { explainViolation } from "./linearizability/explain.ts";
import type { Operation } from "./linearizability/model.ts";
import { type TagInput, type TagOutput, tagModel } from "./register-model.ts";
import type { Settings } from "./settings.ts";
import type { SimNode } from "./sim-node.ts";
import { ViolationError } from "./world.ts";

const SESSION_LOST = sessionError().message;
const REPOSITORY = "hello" as RepositoryName;
const BYTES = Buffer.from("{}");
const MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json";
const NO_NODE_MS = 50;
const TOKEN_RATIO = 0.08;

interface Call {
  readonly client: number;
  readonly input: TagInput;
  readonly calledAt: number;
  returned?: { readonly at: number; readonly output: TagOutput };
}

interface Answers<T> {
  readonly heard: (value: T) => void;
  readonly late?: () => void;
  readonly refused?: () => void;
}

/** Stands for a client that asks once and does not come again. */
const BESIDE = 0;
const REQUEST_MS_MAX = 2;
const READS_AROUND = 2;
const READS_MS_MAX = 30;
const LARGE_EVERY = 8;
const ASK_AGAIN_MS = 300;

/** Clients that push to, pull from and delete a few tags through any node, and remember what they were told. */
export class Clients {
  readonly #cluster: Cluster;
  readonly #settings: Settings;
  readonly #random: Random;
  readonly #histories: Call[][];
  /** What a client knows of each tag: the last answer. */
  readonly #seen: (number | null)[];
  readonly #large: Uint8Array;
  #clock = 0;
  #value = 0;
  #stopped = false;
  #restUntil = 0;
  /** The processes of which something was asked and not answered yet. */
  readonly #asked = new Set<{ readonly process: Owner | undefined }>();
  answered = 0;

  constructor(cluster: Cluster, settings: Settings) {
    this.#cluster = cluster;
    this.#settings = settings;
    this.#random = cluster.world.fork(3);
    this.#histories = Array.from({ length: settings.tags }, () => []);
    this.#large = Buffer.alloc(settings.manifestBytes, "{}");
    this.#seen = Array.from({ length: settings.tags }, () => null);
  }

  /** Requests that no answer has come to, and no refusal, though the node that was asked runs. */
  get waiting(): number {
    return [...this.#asked].filter(({ process }) => process?.alive === true).length;
  }

  start(): void {
    for (let client = 1; client <= this.#settings.clients; client += 1) this.#soon(client);
  }

  /** No more requests; those that run go on. */
  stop(): void {
    this.#stopped = true;
  }

  /** Many at once at one node, beside what the clients do. */
  burst(node: SimNode, count: number): void {
    for (let each = 0; each < count; each += 1) if (!this.#stopped) this.#createToken(BESIDE, node);
  }

  /** For so long nothing new is asked for. */
  rest(durationMs: number): void {
    this.#restUntil = Math.max(this.#restUntil, this.#cluster.world.now + durationMs);
  }

  /** One read there, beside what the clients do. */
  read(node: SimNode): void {
    if (!this.#stopped)
      this.#request(BESIDE, node, { tag: Math.floor(this.#random.float() * this.#settings.tags), input: { type: "read" } });
  }

  /** Whether every node that is up takes a write and a read, and answers both: to be asked in good weather. */
  serve(nodes: readonly SimNode[]): (configured: readonly number[]) => string | undefined {
    const silent = new Map(nodes.map((node) => [node, "has not answered"]));
    const ask = (node: SimNode): void => {
      const { driver } = node;
      if (driver === undefined) return;
      this.#value += 1;
      const again = (why: string): void => {
        silent.set(node, why);
        this.#cluster.world.after(ASK_AGAIN_MS, "client", undefined, () => ask(node));
      };
      driver
        .propose({ type: "token.create", id: `s${this.#value}`, hash: SECRET_HASH, uses: 1, ttlMs: 600_000 })
        .then((outcome) => (outcome.refused === undefined ? driver.barrier() : `a write was refused: ${outcome.refused}`))
        .then(
          (answer) => {
            if (answer === "fresh") silent.delete(node);
            else again(answer);
          },
          (error: unknown) => again(String(error)),
        );
    };
    for (const node of nodes) ask(node);
    // One that was let go meanwhile is outside, and serves nobody.
    return (configured) => {
      for (const [node, why] of silent) if (node.up && configured.includes(node.id)) return `node ${node.id} does not serve: ${why}`;
      return undefined;
    };
  }

  /** Whether all that was answered can have happened one after the other. */
  check(): void {
    for (const [tag, calls] of this.#histories.entries()) {
      const verdict = checkLinearizable(tagModel, calls as readonly Operation<TagInput, TagOutput>[]);
      if (verdict.ok) continue;
      this.#cluster.world.fail(
        new ViolationError("linearizable", `tag ${tag}: ${explainViolation(tagModel, verdict.violation).join("\n")}`),
      );
    }
  }

  #soon(client: number, delayMs = this.#random.float() * 2 * this.#settings.thinkMs): void {
    this.#cluster.world.after(delayMs, "client", undefined, () => {
      if (!this.#stopped) this.#next(client, undefined);
    });
  }

  /** @param again a request that was not answered, for another node */
  #next(client: number, again: { readonly tag: number; readonly input: TagInput } | undefined): void {
    const restMs = this.#restUntil - this.#cluster.world.now;
    if (restMs > 0) {
      this.#soon(client, restMs + this.#random.float() * this.#settings.thinkMs);
      return;
    }
    const nodes = this.#cluster.up();
    const node = nodes[Math.floor(this.#random.float() * nodes.length)];
    if (node === undefined) this.#soon(client, NO_NODE_MS);
    else if (again === undefined && this.#random.float() < TOKEN_RATIO) this.#createToken(client, node);
    else this.#request(client, node, again);
  }

  #request(client: number, node: SimNode, again: { readonly tag: number; readonly input: TagInput } | undefined): void {
    const { world } = this.#cluster;
    const beside = this.#random.float() < this.#settings.readBackRatio ? this.#besideOf(node) : undefined;
    const tag = again?.tag ?? Math.floor(this.#random.float() * this.#settings.tags);
    const input = again?.input ?? this.#drawInput(tag);
    this.#clock += 1;
    const call: Call = { client, input, calledAt: this.#clock };
    this.#histories[tag]!.push(call);
    world.note(() => `client ${client} at ${node.id}: tag ${tag} ${tagModel.describe?.(input, undefined)}`);
    if (beside !== undefined && input.type !== "read") this.#readAround(beside, tag);
    let taken = 0;
    const ask = (driver: Driver): Promise<TagOutput | undefined> => {
      taken = world.steps;
      return input.type === "read" ? this.#read(driver, tag) : this.#write(driver, tag, input);
    };
    this.#ask(client, node, ask, {
      heard: (output) => {
        this.#returned(tag, call, output);
        // What was told to one must be seen by all, also by who has asked just before.
        if (beside !== undefined && input.type !== "read") this.#request(BESIDE, beside, { tag, input: { type: "read" } });
      },
      late: () => {
        this.#cluster.count("clientRetry");
        if (input.type === "read") this.#next(client, undefined);
        else this.#next(client, { tag, input });
      },
      refused: () => {
        // Refused before anyone was asked: it never happened.
        if (taken === world.steps) this.#forget(tag, call);
      },
    });
  }

  #besideOf(node: SimNode): SimNode | undefined {
    const others = this.#cluster.up().filter((other) => other !== node);
    return others[Math.floor(this.#random.float() * others.length)];
  }

  /** A few reads there while the write is under way, so that one of them may be on its way when it ends. */
  #readAround(node: SimNode, tag: number): void {
    for (let count = 0; count < READS_AROUND; count += 1) {
      this.#cluster.world.after(this.#random.float() * READS_MS_MAX, "client", undefined, () => {
        if (!this.#stopped) this.#request(BESIDE, node, { tag, input: { type: "read" } });
      });
    }
  }

  #returned(tag: number, call: Call, output: TagOutput | undefined): void {
    const { input, client } = call;
    this.#cluster.world.note(() => `client ${client}: tag ${tag} ${tagModel.describe?.(input, output)}`);
    if (output === undefined) {
      this.#forget(tag, call);
      return;
    }
    this.#clock += 1;
    call.returned = { at: this.#clock, output };
    if (input.type === "read") this.#seen[tag] = output as number | null;
    else if (input.type === "put") this.#seen[tag] = input.value;
    else if (input.type === "cas" && output === true) this.#seen[tag] = input.to;
    else if (input.type === "delete") this.#seen[tag] = null;
  }

  #forget(tag: number, call: Call): void {
    const history = this.#histories[tag]!;
    history.splice(history.indexOf(call), 1);
  }

  /** The request is on its way to the node, which reads it when it can. An answer that comes after the client has lost patience is not heard. */
  #ask<T>(client: number, node: SimNode, ask: (driver: Driver) => Promise<T>, on: Answers<T>): void {
    const { world } = this.#cluster;
    let waiting = true;
    const asked = { process: node.process };
    this.#asked.add(asked);
    const next = (run: () => void): void => {
      waiting = false;
      if (!this.#stopped && client !== BESIDE) run();
    };
    const cancel = world.after(this.#settings.patienceMs * (0.5 + this.#random.float()), "client", undefined, () =>
      next(on.late ?? (() => this.#soon(client))),
    );
    const done = (): void => {
      this.#asked.delete(asked);
      cancel();
      if (waiting) next(() => this.#soon(client));
    };
    const heard = (value: T): void => {
      if (waiting) {
        this.answered += 1;
        on.heard(value);
      }
      done();
    };
    const refused = (error: unknown): void => {
      // The proposer is alive, opened the session, and has been told of each command in it: nothing may have fenced off what it still waits for.
      if (error instanceof Error && error.message === SESSION_LOST) {
        this.#cluster.world.fail(
          new ViolationError("a session serves whoever opened it", `node ${node.id} has lost a command: ${String(error)}`),
        );
      }
      on.refused?.();
      done();
    };
    world.after(this.#random.float() * REQUEST_MS_MAX, "client", node.process, () => {
      if (node.driver === undefined) done();
      else ask(node.driver).then(heard, refused);
    });
  }

  /** @returns undefined where the node says that it is cut off: what it has may be old */
  async #read(driver: Driver, tag: number): Promise<number | null | undefined> {
    if ((await driver.barrier()) !== "fresh") return undefined;
    const found = driver.catalog.tag(REPOSITORY, tagName(tag));
    return found === undefined ? null : numberOf(found.digest);
  }

  async #write(driver: Driver, tag: number, input: Exclude<TagInput, { type: "read" }>): Promise<boolean> {
    const outcome = await driver.propose(commandOf(tag, input, this.#large));
    this.#acknowledged(outcome);
    const { refused } = outcome;
    if (refused !== undefined && refused !== "precondition" && refused !== "unknown") {
      this.#cluster.world.fail(new ViolationError("outcomes fit", `${input.type} was refused: ${refused}`));
    }
    return refused === undefined;
  }

  /** Its name is new, so there is only one reason for which it can be there already: it was done twice. */
  #createToken(client: number, node: SimNode): void {
    this.#value += 1;
    const id = `t${this.#value}`;
    this.#ask(client, node, (driver) => driver.propose({ type: "token.create", id, hash: SECRET_HASH, uses: 1, ttlMs: 600_000 }), {
      heard: (outcome) => {
        this.#acknowledged(outcome);
        if (outcome.refused === undefined) return;
        this.#cluster.world.fail(new ViolationError("exactly once", `the token ${id} was created once and refused: ${outcome.refused}`));
      },
    });
  }

  #acknowledged(outcome: Outcome): void {
    this.#cluster.invariants.acknowledged(outcome.index);
  }

  #drawInput(tag: number): TagInput {
    const dice = this.#random.float();
    if (dice < 0.45) return { type: "read" };
    if (dice < 0.52) return { type: "delete" };
    this.#value += 1;
    if (dice < 0.8) return { type: "put", value: this.#value };
    return { type: "cas", from: this.#seen[tag] ?? null, to: this.#value };
  }
}

function commandOf(tag: number, input: Exclude<TagInput, { type: "read" }>, large: Uint8Array): Command {
  if (input.type === "delete") return { type: "tag.delete", repository: REPOSITORY, tag: tagName(tag) };
  const value = input.type === "put" ? input.value : input.to;
  const put = {
    type: "manifest.put",
    repository: REPOSITORY,
    mediaType: MEDIA_TYPE,
    bytes: value % LARGE_EVERY === 0 ? large : BYTES,
    tags: [tagName(tag)],
    references: [],
  } as const;
  if (input.type === "put") return { ...put, digest: digestOf(input.value) };
  const expected = input.from === null ? { ifNoneMatch: ["*" as const] } : { ifMatch: [digestOf(input.from)] };
  return { ...put, digest: digestOf(input.to), ...expected };
}

function tagName(tag: number): Tag {
  return `t${tag}` as Tag;
}

function digestOf(value: number): Digest {
  return `sha256:${value.toString(16).padStart(64, "0")}` as Digest;
}

function numberOf(digest: Digest): number {
  return Number.parseInt(digest.slice(-12), 16);
}
