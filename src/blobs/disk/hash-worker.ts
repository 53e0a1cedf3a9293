import { parentPort } from "node:worker_threads";
import { threadFileSystem } from "./file-system.ts";
import { HashEngine, type Request } from "./hash-engine.ts";

// The thread: commands in, in order; replies out. The event loop of the main thread stays free for heartbeats.
const engine = new HashEngine(threadFileSystem);
parentPort?.on("message", (request: Request) => {
  parentPort?.postMessage(engine.handle(request));
});
