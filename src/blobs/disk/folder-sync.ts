import type { FileSystem } from "./file-system.ts";

/** Makes names durable. Those who ask while a sync of the folder runs share the next one: a sync covers only what was there when it began. */
export class FolderSync {
  readonly #fs: FileSystem;
  readonly #running = new Map<string, Promise<void>>();
  readonly #next = new Map<string, Promise<void>>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  sync(path: string): Promise<void> {
    const running = this.#running.get(path);
    if (running === undefined) return this.#start(path);
    const waiting = this.#next.get(path);
    if (waiting !== undefined) return waiting;
    const next = running
      .catch(() => undefined) // its failure is told to those who asked for it
      .then(() => {
        this.#next.delete(path);
        return this.#start(path);
      });
    this.#next.set(path, next);
    return next;
  }

  #start(path: string): Promise<void> {
    const sync = this.#fs.syncFolder(path).finally(() => {
      if (this.#running.get(path) === sync) this.#running.delete(path);
    });
    this.#running.set(path, sync);
    return sync;
  }
}
