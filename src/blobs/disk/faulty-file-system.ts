import { diskFileSystem, type FileSystem, type OpenFile, type ThreadFileSystem, threadFileSystem } from "./file-system.ts";

export type Call = { readonly call: keyof FileSystem | keyof OpenFile; readonly path: string };

/**
 * The disk, as tests break it: `before` sees each call and may throw in its place. With `crashAfter` calls that change something, every
 * further one fails as if the process had gone, which leaves the folder for the next one to open.
 */
export class FaultyFileSystem implements FileSystem {
  readonly calls: Call[] = [];
  before: (call: Call) => void = () => {};
  crashAfter = Number.POSITIVE_INFINITY;
  /** What the disk says of itself, in place of the truth. */
  spaceLeft: { freeBytes: number; sizeBytes: number } | undefined;
  #changes = 0;

  async #run<T>(call: Call, work: () => Promise<T>): Promise<T> {
    this.calls.push(call);
    this.before(call);
    if (!["stat", "read", "readdir", "close", "space"].includes(call.call)) this.#changes += 1;
    if (this.#changes > this.crashAfter) throw new Error("crashed");
    return work();
  }

  async open(path: string, flags: Parameters<FileSystem["open"]>[1]): Promise<OpenFile> {
    const file = await this.#run({ call: "open", path }, () => diskFileSystem.open(path, flags));
    return {
      fd: file.fd,
      read: (into, position) => this.#run({ call: "read", path }, () => file.read(into, position)),
      write: (bytes, position) => this.#run({ call: "write", path }, () => file.write(bytes, position)),
      stat: () => this.#run({ call: "stat", path }, () => file.stat()),
      truncate: (sizeBytes) => this.#run({ call: "truncate", path }, () => file.truncate(sizeBytes)),
      datasync: () => this.#run({ call: "datasync", path }, () => file.datasync()),
      close: () => file.close(),
    };
  }

  stat = (path: string) => this.#run({ call: "stat", path }, () => diskFileSystem.stat(path));
  link = (from: string, to: string) => this.#run({ call: "link", path: to }, () => diskFileSystem.link(from, to));
  rename = (from: string, to: string) => this.#run({ call: "rename", path: to }, () => diskFileSystem.rename(from, to));
  unlink = (path: string) => this.#run({ call: "unlink", path }, () => diskFileSystem.unlink(path));
  mkdir = (path: string) => this.#run({ call: "mkdir", path }, () => diskFileSystem.mkdir(path));
  readdir = (path: string) => this.#run({ call: "readdir", path }, () => diskFileSystem.readdir(path));
  syncFolder = (path: string) => this.#run({ call: "syncFolder", path }, () => diskFileSystem.syncFolder(path));
  space = (path: string) => this.#run({ call: "space", path }, async () => this.spaceLeft ?? diskFileSystem.space(path));
}

/** A disk that takes `roomBytes` more and is full then, as a hashing thread meets it. */
export class FullDisk implements ThreadFileSystem {
  roomBytes: number;

  constructor(roomBytes: number) {
    this.roomBytes = roomBytes;
  }

  write(fd: number, parts: readonly Uint8Array[], position: number): void {
    const bytes = Buffer.concat(parts);
    const taken = Math.min(bytes.byteLength, this.roomBytes);
    this.roomBytes -= taken;
    threadFileSystem.write(fd, [bytes.subarray(0, taken)], position);
    if (taken < bytes.byteLength) throw systemError("ENOSPC");
  }

  read(fd: number, into: Uint8Array, position: number): number {
    return threadFileSystem.read(fd, into, position);
  }
}

export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}
