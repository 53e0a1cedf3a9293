import { execFile } from "node:child_process";
import { appendFile, mkdir, readdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { callAdmin, socketOf } from "../../src/cli/admin-client.ts";
import { STATUS_PATH } from "../../src/cli/status.ts";
import type { ClusterStatus } from "../../src/http/admin.ts";
import { NodeProcess } from "../harness/node-process.ts";
import { program } from "../harness/program.ts";
import type { Place } from "./network.ts";

const run = promisify(execFile);
const HTTP_PORT = 5000;
const P2P_PORT = 5100;
const BALLAST = "ballast";
const MIB = 1024 * 1024;
const LAST_MIB = 8;

export interface HostOptions {
  readonly place: Place;
  /** Of all hosts of a run; data folder and log file lie in it. */
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  /** MiB of a disk of its own; undefined for a folder on the disk of this machine. */
  readonly diskMib?: number | undefined;
}

/** A machine of the cluster: a network namespace with an address of its own, a data folder, and the process of one node. */
export class Host {
  readonly number: number;
  readonly name: string;
  readonly url: string;
  readonly data: string;
  readonly logFile: string;
  readonly diskMib: number | undefined;
  readonly #place: Place;
  /** Its address as it stands before a port. */
  readonly #at: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #process: NodeProcess;
  /** What was asked of its process last: one that is gone while it should run has failed. */
  #wanted: "running" | "paused" | "gone" = "gone";

  constructor({ place, folder, env, diskMib }: HostOptions) {
    this.number = place.number;
    this.name = `h${place.number}`;
    this.#at = place.address.includes(":") ? `[${place.address}]` : place.address;
    this.url = `http://${this.#at}:${HTTP_PORT}`;
    this.data = join(folder, this.name);
    this.logFile = join(folder, `${this.name}.log`);
    this.diskMib = diskMib;
    this.#place = place;
    this.#env = env;
    this.#process = new NodeProcess(this.name);
  }

  /** Its process is there and was not stopped by a signal. */
  get running(): boolean {
    return this.#wanted === "running" && this.#process.running;
  }

  /** What it said before it ended although nobody asked it to; undefined where it did not. */
  get crash(): string | undefined {
    return this.#wanted === "gone" || this.#process.running ? undefined : this.#process.tail;
  }

  async makeDisk(): Promise<void> {
    await mkdir(this.data);
    if (this.diskMib === undefined) return;
    await run("mount", ["-t", "tmpfs", "-o", `size=${this.diskMib}m,mode=0700`, "roadstead-hosts", this.data]);
  }

  async removeDisk(): Promise<void> {
    if (this.diskMib !== undefined) await run("umount", ["--lazy", this.data]);
  }

  /** Starts its node and waits until it serves reads. */
  async start(flags: readonly string[] = []): Promise<void> {
    const { namespace } = this.#place;
    const at = ["--data", this.data, "--http", `${this.#at}:${HTTP_PORT}`, "--p2p", `${this.#at}:${P2P_PORT}`, "--name", this.name];
    const node = [process.execPath, await program(), "serve", ...at, "--insecure-open", ...flags];
    // `ip netns exec` becomes the node: its pid is the node's.
    await this.#process.launch({ command: ["ip", "netns", "exec", namespace, ...node], env: this.#env, logFile: this.logFile });
    this.#wanted = "running";
  }

  /** As `start`. @returns what it said where it ended instead: it may have been refused */
  async tryStart(flags: readonly string[] = []): Promise<string | undefined> {
    return this.start(flags).then(
      () => undefined,
      (error: unknown) => String(error),
    );
  }

  async kill(): Promise<void> {
    this.#wanted = "gone";
    await this.#process.kill("SIGKILL");
  }

  /** Its process may end by itself from now on: a node that is removed does. */
  mayEnd(): void {
    this.#wanted = "gone";
  }

  /** As an init system stops it. */
  async stop(): Promise<void> {
    this.#wanted = "gone";
    await this.#process.kill("SIGTERM");
  }

  pause(): void {
    this.#wanted = "paused";
    this.#process.signal("SIGSTOP");
  }

  resume(): void {
    if (this.#wanted !== "paused") return;
    this.#process.signal("SIGCONT");
    this.#wanted = "running";
  }

  /** What a new disk has: nothing. */
  async wipe(): Promise<void> {
    for (const name of await readdir(this.data)) await rm(join(this.data, name), { recursive: true, force: true });
  }

  /** Takes all room of its disk but `leaveMib`. */
  async fillDisk(leaveMib: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.data);
    // its node writes on meanwhile: the last is taken byte by byte until there is none
    const wholeMib = Math.floor((bavail * bsize) / MIB) - Math.max(leaveMib, LAST_MIB);
    if (wholeMib > 0) await run("fallocate", ["--length", `${wholeMib}MiB`, join(this.data, BALLAST)]);
    if (leaveMib === 0) await appendFile(join(this.data, BALLAST), Buffer.alloc(2 * LAST_MIB * MIB)).catch(() => undefined);
  }

  async freeDisk(): Promise<void> {
    await rm(join(this.data, BALLAST), { force: true });
  }

  /** Over its admin socket, which lies in its data folder: no network is needed. */
  async admin(method: "GET" | "POST", path: string, body?: unknown): Promise<unknown> {
    return callAdmin({ socket: socketOf(this.data) }, method, path, body);
  }

  async status(): Promise<ClusterStatus> {
    return (await this.admin("GET", STATUS_PATH)) as ClusterStatus;
  }
}
