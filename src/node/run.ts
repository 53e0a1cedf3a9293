import module from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Config } from "../config/settings.ts";
import { ConsensusError } from "../consensus/errors.ts";
import { systemClock } from "../core/clock.ts";
import { systemCode } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { NodeError } from "./node-error.ts";
import { createPinoLog } from "./pino-log.ts";
import { nodeName } from "./self-facts.ts";
import { type Entry, type RunningNode, startNode } from "./start-node.ts";
import { holdYoungGeneration } from "./young-generation.ts";

/** What is left to do once nothing runs any more; where it takes longer it is cut: what was acknowledged is durable anyway. */
const STOP_MS = 10_000;
const SETTLE_MS = 1_000;

/**
 * Runs a node until a signal stops it.
 * @returns why it did not start, for a person; undefined when it was stopped in order
 */
export async function runNode(config: Config, entry: Entry): Promise<string | undefined> {
  const log = createPinoLog(config["log.level"], nodeName(config));
  const fatal = (error: unknown, what: string): void => {
    log.error({ err: error }, what);
    process.exit(1);
  };
  process.on("uncaughtException", (error) => fatal(error, "an error that nobody expected: the node ends, and is to be started again"));
  process.on("unhandledRejection", (error) => fatal(error, "a failure that nobody expected: the node ends, and is to be started again"));
  const stopped = stopRequested(log);
  const cannotGoOn = (error: Error): void => fatal(error, isExplained(error) ? error.message : "the node cannot go on");
  let isFirst = true;
  for (;;) {
    const startMs = performance.now();
    const again = Promise.withResolvers<void>();
    let node: RunningNode;
    try {
      node = await startNode({ config, entry, log, fatal: cannotGoOn, restart: again.resolve, signal: stopped });
    } catch (error) {
      if (stopped.aborted) return undefined;
      if (!isExplained(error)) log.error({ err: error }, "the node could not start");
      return error instanceof Error ? error.message : String(error);
    }
    const { http, p2p, peerId, adminSocket } = node;
    log.info({ http, p2p, peerId, adminSocket, ms: Math.round(performance.now() - startMs) }, "ready");
    process.send?.({ type: "ready", http });
    if (isFirst) {
      setTimeout(settleDown, SETTLE_MS).unref();
      holdYoungGeneration(systemClock);
    }
    isFirst = false;
    if (!stopped.aborted) {
      await Promise.race([again.promise, new Promise((resolve) => stopped.addEventListener("abort", resolve, { once: true }))]);
    }
    const stopMs = config["shutdown.timeout"] + STOP_MS;
    const timer = setTimeout(() => fatal(new Error(`the stop took longer than ${stopMs} ms`), "the node did not stop in order"), stopMs);
    await node.stop();
    clearTimeout(timer);
    if (stopped.aborted) break;
    log.info({}, "stopped, to start again on the same folder");
  }
  log.info({}, "stopped");
  process.exit(0); // nothing is left to do; a timer of a library is not to keep the process
}

/** What a start leaves behind is a quarter of an idle node's memory, and V8 would keep it until there is work to do. */
function settleDown(): void {
  module.flushCompileCache(); // a process that is killed later would not write it
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  if (typeof collect === "function") collect({ type: "major", execution: "sync", flavor: "last-resort" });
}

function isExplained(error: unknown): boolean {
  return error instanceof NodeError || error instanceof ConsensusError || systemCode(error) !== undefined;
}

/** Aborts at the first signal, or when the process that started this one with a channel is gone; at a second signal the process ends at once. */
function stopRequested(log: Log): AbortSignal {
  const controller = new AbortController();
  const stop = (why: string): void => {
    if (controller.signal.aborted) return;
    log.info({ why }, "stopping");
    controller.abort(new DOMException("the node was asked to stop", "AbortError"));
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(1);
      stop(signal);
    });
  }
  if (process.channel !== undefined) {
    process.once("disconnect", () => stop("its parent is gone"));
    process.channel?.unref();
  }
  return controller.signal;
}
