import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { MemberFacts } from "../../src/metadata/commands.ts";
import type { Answer, MemberStatus, Order, Peer, Told } from "./orders.ts";
import { started } from "./started.ts";

const MEMBER = join(import.meta.dirname, "member.ts");

export interface MemberOptions {
  readonly folder: string;
  /** Where its processor profile goes, for one that is stopped in order. */
  readonly profile?: string;
  readonly acknowledged?: (id: string) => void;
}

/** A process of the measured cluster. */
export class Member {
  raftId = 0;
  readonly #options: MemberOptions;
  readonly #waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  #child: ChildProcess | undefined;
  #peer: Omit<Peer, "raftId"> | undefined;
  #asked = 0;

  constructor(options: MemberOptions) {
    this.#options = options;
  }

  get peer(): Peer {
    if (this.#peer === undefined) throw new Error("this member was not started");
    return { ...this.#peer, raftId: this.raftId };
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** A later start takes the address of the first. */
  async start(): Promise<void> {
    const { folder, profile } = this.#options;
    const execArgv = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
    const listen = this.#peer?.addresses.filter((address) => address.includes("127.0.0.1")) ?? ["127.0.0.1:0"];
    const child = started(fork(MEMBER, [folder, listen[0] ?? ""], { execArgv, serialization: "advanced" }));
    this.#child = child;
    child.once("exit", () => this.#failAll("the member has ended"));
    await new Promise<void>((resolve, reject) => {
      child.once("exit", () => reject(new Error("a member ended before it had started")));
      child.on("message", (told: Told) => {
        if ("peer" in told) {
          this.#peer = told.peer;
          resolve();
        } else this.#onTold(told);
      });
    });
  }

  ask(order: Order): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#asked += 1;
      this.#waiting.set(this.#asked, { resolve, reject });
      this.#child?.send({ ...order, id: this.#asked }, (error) => {
        if (error !== null) reject(error);
      });
    });
  }

  async status(): Promise<MemberStatus> {
    const { status } = await this.ask({ do: "status" });
    if (status === undefined) throw new Error("a member did not tell its status");
    return status;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const ended = once(child, "exit");
    await this.ask({ do: "stop" }).catch(() => child.kill("SIGKILL"));
    await ended;
  }

  /** As by a power cut of the process. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  #onTold(told: Exclude<Told, { peer: unknown }>): void {
    if ("acknowledged" in told) {
      this.#options.acknowledged?.(told.acknowledged);
      return;
    }
    const waiting = this.#waiting.get(told.id);
    this.#waiting.delete(told.id);
    if ("error" in told) waiting?.reject(new Error(told.error));
    else waiting?.resolve(told.answer);
  }

  #failAll(reason: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
  }
}

function factsOf({ peerId, addresses }: Peer, name: string): MemberFacts {
  return { peerId, name, zone: "", capacity: 1, addresses, http: "127.0.0.1:1", versionMax: 1 };
}

const LOOK_MS = 20;

export async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise<void>((resolve) => setTimeout(resolve, LOOK_MS));
}

/** Three voters, each a process with a folder of its own. */
export class MeasuredCluster {
  readonly members: readonly Member[];

  private constructor(members: readonly Member[]) {
    this.members = members;
  }

  static async start(folder: string, options: Omit<MemberOptions, "folder"> = {}): Promise<MeasuredCluster> {
    const members = [1, 2, 3].map((at) => new Member({ ...options, folder: join(folder, `n${at}`) }));
    const cluster = new MeasuredCluster(members);
    for (const member of members) await member.start();
    const [first] = members;
    if (first === undefined) throw new Error("there is no member");
    first.raftId = 1;
    await cluster.tellPeers();
    await first.ask({ do: "open", raftId: 1, founding: true });
    const member = factsOf(first.peer, "n1");
    await first.ask({ do: "propose", command: { type: "cluster.init", clusterId: "bench", publicKey: new Uint8Array(44), member } });
    for (const [at, other] of members.entries()) if (other !== first) await cluster.#join(first, other, `n${at + 1}`);
    return cluster;
  }

  async tellPeers(): Promise<void> {
    const peers = this.members.filter(({ raftId }) => raftId !== 0).map(({ peer }) => peer);
    await Promise.all(this.members.map((member) => member.ask({ do: "peers", peers })));
  }

  async leader(): Promise<Member> {
    let leader: Member | undefined;
    await until(async () => {
      for (const member of this.members) if ((await member.status()).leads) leader = member;
      return leader !== undefined;
    });
    return leader as Member;
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
  }

  async #join(first: Member, other: Member, name: string): Promise<void> {
    const hash = new Uint8Array(32);
    await first.ask({ do: "propose", command: { type: "token.create", id: name, hash, uses: 1, ttlMs: 60_000 } });
    const { value } = await first.ask({
      do: "propose",
      command: { type: "member.add", member: factsOf(other.peer, name), token: { id: name, hash } },
    });
    other.raftId = value ?? 0;
    await this.tellPeers();
    await other.ask({ do: "open", raftId: other.raftId, founding: false });
    await first.ask({ do: "seat", raftId: other.raftId, as: "addLearner" });
    // It votes once it has what the leader has: until then two of two would have to be asked.
    await until(async () => (await other.status()).learners.includes(other.raftId));
    await first.ask({ do: "seat", raftId: other.raftId, as: "addNode" });
    await until(async () => (await other.status()).voters.includes(other.raftId));
  }
}
