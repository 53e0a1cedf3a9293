import module from "node:module";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import type { ThreadFileSystem } from "./file-system.ts";
import { type Command, HashEngine, memoryOf, type Reply, type Request } from "./hash-engine.ts";

/** One hashing thread, or its stand-in: requests are answered in order. */
export interface Lane {
  post(request: Request): void;
  /** Keeps the process alive while there is work, and only then. */
  hold(busy: boolean): void;
  close(): Promise<void>;
}

export type StartLane = (onReply: (reply: Reply) => void, onDeath: (error: Error) => void) => Lane;

/** The packed build carries JavaScript: the thread's file has this file's own extension. */
const SCRIPT = new URL(import.meta.url.endsWith(".ts") ? "./hash-worker.ts" : "./hash-worker.js", import.meta.url);

/** A thread with a small heap: it holds hashes, its buffers lie outside. */
export const startThread: StartLane = (onReply, onDeath) => {
  const worker = new Worker(entry(), { resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 1 }, execArgv: [] });
  worker.unref();
  worker.on("message", onReply);
  worker.on("error", (error: unknown) => onDeath(error instanceof Error ? error : new Error(String(error))));
  worker.on("exit", (code) => onDeath(new Error(`the hashing thread ended with code ${code}`)));
  return {
    post: (request) => worker.postMessage(request, request.command.type === "feed" ? memoryOf(request.command.parts) : []),
    hold: (busy) => (busy ? worker.ref() : worker.unref()),
    close: async () => {
      await worker.terminate();
    },
  };
};

/**
 * A thread does not share the compile cache of its process by itself: without it, it compiles anew, and from the sources it loads what strips types, which
 * is half of its memory (23 MiB; 12 with the cache).
 */
function entry(): URL {
  const folder = module.getCompileCacheDir();
  if (folder === undefined) return SCRIPT;
  const cached = JSON.stringify(dirname(folder)); // it adds the folder of this version of Node itself
  const code = `import module from "node:module"; module.enableCompileCache(${cached}); await import(${JSON.stringify(SCRIPT)}); module.flushCompileCache();`;
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`);
}

/** The same work in place, on a file system that a test breaks. Answers come in a later microtask, as a thread's would come later. */
export function inPlace(fs: ThreadFileSystem): StartLane {
  return (onReply) => {
    const engine = new HashEngine(fs);
    return {
      post(request) {
        const reply = engine.handle(request);
        queueMicrotask(() => onReply(reply));
      },
      hold() {},
      async close() {},
    };
  };
}

interface Waiting {
  readonly resolve: (hashes: readonly string[]) => void;
  readonly reject: (error: Error) => void;
}

/** Calls to one lane, which is started at the first of them, and anew after it died. */
export class LaneCalls {
  readonly #start: StartLane;
  readonly #waiting = new Map<number, Waiting>();
  #lane: Lane | undefined;
  #sequence = 0;
  #isReady = false;

  constructor(start: StartLane) {
    this.#start = start;
  }

  get load(): number {
    return this.#waiting.size;
  }

  /** Has it answered: one that has not is perhaps still starting, which is begun here. */
  ready(): boolean {
    if (this.#lane === undefined) this.call({ type: "end", job: 0 }).catch(() => undefined); // the next call starts it again
    return this.#isReady;
  }

  call(command: Command): Promise<readonly string[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    this.#lane ??= this.#start(
      (reply) => this.#answer(reply),
      (error) => this.#die(error),
    );
    this.#sequence += 1;
    if (this.#waiting.size === 0) this.#lane.hold(true);
    this.#waiting.set(this.#sequence, { resolve, reject });
    this.#lane.post({ id: this.#sequence, command });
    return promise;
  }

  #answer(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    if (waiting === undefined) return;
    this.#isReady = true;
    this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) this.#lane?.hold(false);
    if (reply.failure === undefined) waiting.resolve(reply.hashes ?? []);
    else waiting.reject(Object.assign(new Error(reply.failure.message), { code: reply.failure.code }));
  }

  #die(error: Error): void {
    this.#lane = undefined;
    this.#isReady = false;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(error);
  }

  async close(): Promise<void> {
    await this.#lane?.close();
    this.#die(new Error("the hashing threads were stopped"));
  }
}
