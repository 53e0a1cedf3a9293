import { readSync, writeSync, writevSync } from "node:fs";
import { type FileHandle, link, mkdir, open, readdir, rename, stat, statfs, unlink } from "node:fs/promises";

/** What tells one state of a file from another: a write changes `mtimeNs` and `ctimeNs`, a replaced file `ino`. */
export interface FileStat {
  readonly sizeBytes: number;
  readonly ino: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly links: number;
}

export interface OpenFile {
  readonly fd: number;
  /** Bytes read; 0 at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** All of `bytes`, or it rejects. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  stat(): Promise<FileStat>;
  truncate(sizeBytes: number): Promise<void>;
  /** Bytes and size are durable on return. A failure is final: what was not yet durable may be lost, and a second call would not tell. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** The few calls that the store makes, as a port: tests pass one that fails where they say. */
export interface FileSystem {
  /** `r` reads, `r+` changes, `wx` makes a new file, `w` truncates, `a` appends; with `+` it may be read as well. */
  open(path: string, flags: "r" | "r+" | "wx" | "wx+" | "w" | "w+" | "a"): Promise<OpenFile>;
  stat(path: string): Promise<FileStat>;
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  mkdir(path: string): Promise<void>;
  readdir(path: string): Promise<string[]>;
  /** The names in the folder are durable on return. */
  syncFolder(path: string): Promise<void>;
  /** Of the disk that holds the folder: what this process may still write, and all of it (0 where the file system does not tell). */
  space(path: string): Promise<{ readonly freeBytes: number; readonly sizeBytes: number }>;
}

/** The calls of a hashing thread, on descriptors that the main thread opened. */
export interface ThreadFileSystem {
  /** All of the parts, one after the other, or it throws. */
  write(fd: number, parts: readonly Uint8Array[], position: number): void;
  /** Bytes read; 0 at the end of the file. */
  read(fd: number, into: Uint8Array, position: number): number;
}

export const threadFileSystem: ThreadFileSystem = {
  write(fd, parts, position) {
    let written = writevSync(fd, parts, position);
    let start = 0;
    for (const part of parts) {
      for (; written < start + part.byteLength; ) written += writeSync(fd, part, written - start, undefined, position + written);
      start += part.byteLength;
    }
  },
  read: (fd, into, position) => readSync(fd, into, 0, into.byteLength, position),
};

export const diskFileSystem: FileSystem = {
  async open(path, flags) {
    return new DiskFile(await open(path, flags, 0o600));
  },
  async stat(path) {
    return statOf(await stat(path, { bigint: true }));
  },
  link,
  rename,
  unlink,
  async mkdir(path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  readdir: (path) => readdir(path),
  async syncFolder(path) {
    const folder = await open(path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
  async space(path) {
    const { bavail, blocks, bsize } = await statfs(path);
    return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
  },
};

class DiskFile implements OpenFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  get fd(): number {
    return this.#handle.fd;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.read(into, 0, into.byteLength, position)).bytesRead;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      done += (await this.#handle.write(bytes, done, bytes.byteLength - done, position + done)).bytesWritten;
    }
  }

  async stat(): Promise<FileStat> {
    return statOf(await this.#handle.stat({ bigint: true }));
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#handle.truncate(sizeBytes);
  }

  datasync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

function statOf(stat: { size: bigint; ino: bigint; mtimeNs: bigint; ctimeNs: bigint; nlink: bigint }): FileStat {
  return { sizeBytes: Number(stat.size), ino: stat.ino, mtimeNs: stat.mtimeNs, ctimeNs: stat.ctimeNs, links: Number(stat.nlink) };
}
