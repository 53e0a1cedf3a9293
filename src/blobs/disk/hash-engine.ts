import { createHash, type Hash } from "node:crypto";
import type { DigestAlgorithm } from "../../core/digest.ts";
import { PIECE_SIZE_BYTES } from "../../core/pieces.ts";
import type { ThreadFileSystem } from "./file-system.ts";

/**
 * What a hashing thread is told. `whole` hashes the blob; `pieces` hashes its pieces. They are two jobs, so that two threads can share the work (both hashes
 * over the same bytes in one thread halve the rate): then the second one reads from the file what the first has written.
 */
export type Command =
  | { readonly type: "whole"; readonly job: number; readonly algorithm: DigestAlgorithm }
  | { readonly type: "pieces"; readonly job: number; readonly position: number }
  /** The parts, one after the other, are written at `position` and hashed by each job. Their memory is the thread's, and is freed. */
  | {
      readonly type: "feed";
      readonly jobs: readonly number[];
      readonly parts: readonly Uint8Array<ArrayBuffer>[];
      readonly position: number;
      readonly fd: number;
    }
  /** Bytes in memory that both threads see, and that nobody writes meanwhile. */
  | { readonly type: "hash"; readonly jobs: readonly number[]; readonly bytes: Uint8Array<SharedArrayBuffer>; readonly position: number }
  /** Bytes `[start, end)` of a file. */
  | { readonly type: "scan"; readonly jobs: readonly number[]; readonly fd: number; readonly start: number; readonly end: number }
  | { readonly type: "facts"; readonly job: number }
  | { readonly type: "end"; readonly job: number };

export interface Request {
  readonly id: number;
  readonly command: Command;
}

/** `hashes`: hex; of `whole` the digest and, for sha256 over one piece, the first piece's hash; of `pieces` their list. */
export interface Reply {
  readonly id: number;
  readonly hashes?: readonly string[];
  readonly failure?: { readonly code: string; readonly message: string };
}

interface Job {
  position: number;
  /** Takes no byte before `position`, once it has begun; before, it passes over what comes too early. */
  readonly begun: boolean;
  update(bytes: Uint8Array): void;
  facts(): string[];
}

const SCAN_SIZE_BYTES = 256 * 1024;

/** The side of a hashing thread, without the thread: the same code runs in place for tests that inject faults. */
export class HashEngine {
  readonly #fs: ThreadFileSystem;
  readonly #jobs = new Map<number, Job>();
  #scanBuffer: Uint8Array | undefined;

  constructor(fs: ThreadFileSystem) {
    this.#fs = fs;
  }

  handle(request: Request): Reply {
    try {
      return { id: request.id, hashes: this.#run(request.command) };
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "EHASH";
      return { id: request.id, failure: { code, message: error instanceof Error ? error.message : String(error) } };
    }
  }

  #run(command: Command): readonly string[] {
    switch (command.type) {
      case "whole":
        this.#jobs.set(command.job, new WholeJob(command.algorithm));
        return [];
      case "pieces":
        this.#jobs.set(command.job, new PiecesJob(command.position));
        return [];
      case "feed":
        this.#feed(this.#all(command.jobs, command.position), command);
        return [];
      case "hash":
        update(this.#all(command.jobs, command.position), command.bytes, command.position);
        return [];
      case "scan":
        this.#scan(this.#all(command.jobs, command.start), command);
        return [];
      case "facts":
        return this.#job(command.job).facts();
      case "end":
        this.#jobs.delete(command.job);
        return [];
      default:
        return command satisfies never;
    }
  }

  #job(number: number): Job {
    const job = this.#jobs.get(number);
    if (job === undefined) throw new Error(`no hash job ${number}: the thread was started anew`);
    return job;
  }

  /** A batch after one that failed finds the job short of it, and fails too. */
  #all(numbers: readonly number[], position: number): readonly Job[] {
    return numbers.map((number) => {
      const job = this.#job(number);
      if (job.position === position || (job.position > position && !job.begun)) return job;
      throw new Error(`hash job ${number} is at ${job.position}, not at ${position}`);
    });
  }

  #feed(jobs: readonly Job[], { parts, position, fd }: Extract<Command, { type: "feed" }>): void {
    this.#fs.write(fd, parts, position);
    let start = position;
    for (const part of parts) {
      update(jobs, part, start);
      start += part.byteLength;
    }
    for (const buffer of memoryOf(parts)) buffer.transfer(0); // freed now: left to the collector, each 64 KiB would weigh on it
  }

  #scan(jobs: readonly Job[], { fd, start, end }: Extract<Command, { type: "scan" }>): void {
    this.#scanBuffer ??= new Uint8Array(SCAN_SIZE_BYTES);
    for (let position = start; position < end; ) {
      const into = this.#scanBuffer.subarray(0, Math.min(SCAN_SIZE_BYTES, end - position));
      const count = this.#fs.read(fd, into, position);
      if (count === 0) throw Object.assign(new Error(`the file ends at ${position}, not at ${end}`), { code: "SHORT" });
      update(jobs, into.subarray(0, count), position);
      position += count;
    }
  }
}

/** The memory behind the parts, each once. */
export function memoryOf(parts: readonly Uint8Array<ArrayBuffer>[]): ArrayBuffer[] {
  return [...new Set(parts.map((part) => part.buffer))];
}

function update(jobs: readonly Job[], bytes: Uint8Array, start: number): void {
  for (const job of jobs) job.update(job.position === start ? bytes : bytes.subarray(job.position - start));
}

class WholeJob implements Job {
  position = 0;
  readonly begun = true;
  readonly #hash: Hash;
  readonly #isSha256: boolean;
  #first: string | undefined;

  constructor(algorithm: DigestAlgorithm) {
    this.#hash = createHash(algorithm);
    this.#isSha256 = algorithm === "sha256";
  }

  update(bytes: Uint8Array): void {
    const left = PIECE_SIZE_BYTES - this.position;
    if (this.#isSha256 && left > 0 && left <= bytes.byteLength) {
      this.#hash.update(bytes.subarray(0, left));
      this.#first = this.#hash.copy().digest("hex"); // the first piece is a prefix of the blob: its hash costs nothing
      this.#hash.update(bytes.subarray(left));
    } else {
      this.#hash.update(bytes);
    }
    this.position += bytes.byteLength;
  }

  facts(): string[] {
    const digest = this.#hash.copy().digest("hex");
    return this.#first === undefined ? [digest] : [digest, this.#first];
  }
}

class PiecesJob implements Job {
  position: number;
  readonly #start: number;
  readonly #list: string[] = [];
  #hash = createHash("sha256");

  constructor(position: number) {
    this.position = position;
    this.#start = position;
  }

  get begun(): boolean {
    return this.position > this.#start;
  }

  update(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.byteLength; ) {
      const left = PIECE_SIZE_BYTES - (this.position % PIECE_SIZE_BYTES);
      const part = bytes.subarray(done, done + left);
      this.#hash.update(part);
      this.position += part.byteLength;
      done += part.byteLength;
      if (part.byteLength < left) continue;
      this.#list.push(this.#hash.digest("hex"));
      this.#hash = createHash("sha256");
    }
  }

  facts(): string[] {
    const isOpen = this.position % PIECE_SIZE_BYTES > 0 || (this.position === 0 && this.#start === 0);
    return isOpen ? [...this.#list, this.#hash.copy().digest("hex")] : [...this.#list];
  }
}
