import { createHash, type Hash } from "node:crypto";
import type { DigestAlgorithm } from "../../core/digest.ts";
import { PIECE_SIZE_BYTES } from "../../core/pieces.ts";
import type { ThreadFileSystem } from "./file-system.ts";

/**
 * What a hashing thread is told. `whole` hashes the blob and writes it; `pieces` hashes its pieces. They are two jobs, so that two
 * threads can share the work: both hashes over the same bytes in one thread would halve the rate.
 */
export type Command =
  | { readonly type: "slot"; readonly slot: number; readonly buffer: SharedArrayBuffer }
  | { readonly type: "whole"; readonly job: number; readonly algorithm: DigestAlgorithm }
  | { readonly type: "pieces"; readonly job: number; readonly position: number }
  /** The first `length` bytes of the slot, written at `position` where there is a descriptor. */
  | {
      readonly type: "feed";
      readonly job: number;
      readonly slot: number;
      readonly length: number;
      readonly position: number;
      readonly fd: number | undefined;
    }
  /** Bytes `[start, end)` of a file. */
  | { readonly type: "scan"; readonly job: number; readonly fd: number; readonly start: number; readonly end: number }
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
  update(bytes: Uint8Array): void;
  facts(): string[];
}

const SCAN_SIZE_BYTES = 256 * 1024;

/** The side of a hashing thread, without the thread: the same code runs in place for tests that inject faults. */
export class HashEngine {
  readonly #fs: ThreadFileSystem;
  readonly #jobs = new Map<number, Job>();
  readonly #slots = new Map<number, Uint8Array>();
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
      case "slot":
        this.#slots.set(command.slot, new Uint8Array(command.buffer));
        return [];
      case "whole":
        this.#jobs.set(command.job, new WholeJob(command.algorithm));
        return [];
      case "pieces":
        this.#jobs.set(command.job, new PiecesJob(command.position));
        return [];
      case "feed": {
        const job = this.#at(command.job, command.position);
        const bytes = this.#slots.get(command.slot)!.subarray(0, command.length);
        if (command.fd !== undefined) this.#fs.write(command.fd, bytes, command.position);
        job.update(bytes);
        return [];
      }
      case "scan":
        this.#scan(this.#at(command.job, command.start), command.fd, command.end);
        return [];
      case "facts":
        return this.#at(command.job, undefined).facts();
      case "end":
        this.#jobs.delete(command.job);
        return [];
      default:
        return command satisfies never;
    }
  }

  /** A chunk after one that failed finds the job short of it, and fails too. */
  #at(number: number, position: number | undefined): Job {
    const job = this.#jobs.get(number);
    if (job === undefined) throw new Error(`no hash job ${number}: the thread was started anew`);
    if (position !== undefined && job.position !== position)
      throw new Error(`hash job ${number} is at ${job.position}, not at ${position}`);
    return job;
  }

  #scan(job: Job, fd: number, end: number): void {
    this.#scanBuffer ??= new Uint8Array(SCAN_SIZE_BYTES);
    while (job.position < end) {
      const into = this.#scanBuffer.subarray(0, Math.min(SCAN_SIZE_BYTES, end - job.position));
      const count = this.#fs.read(fd, into, job.position);
      if (count === 0) throw Object.assign(new Error(`the file ends at ${job.position}, not at ${end}`), { code: "SHORT" });
      job.update(into.subarray(0, count));
    }
  }
}

class WholeJob implements Job {
  position = 0;
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
