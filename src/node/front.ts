import { formatHostPort } from "../config/kinds.ts";
import type { Config } from "../config/settings.ts";
import type { Clock } from "../core/clock.ts";
import { OciError, systemCode } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { json } from "../http/answers.ts";
import { errorResponse } from "../http/error-response.ts";
import type { Handler, HttpListener, HttpResponse } from "../http/http.ts";
import { DEFAULT_LIMITS, type HttpLimits } from "../http/limits.ts";
import { listenHttp } from "../http/node-http/server.ts";
import { NodeError } from "./node-error.ts";
import { isLoopback } from "./self-facts.ts";

export interface Front {
  readonly listener: HttpListener;
  readonly limits: HttpLimits;
  /** From now on requests go to `handler`; those that have come before are waiting for it. */
  use(handler: Handler): void;
}

export function limitsOf(config: Config): HttpLimits {
  return { ...DEFAULT_LIMITS, manifestBytes: config["http.manifestSizeMax"], bodyIdleMs: config["http.idleTimeout"] };
}

/** @throws NodeError where anybody could reach it, and there are no users yet who would be asked for a password */
export function refuseOpenDoor(config: Config): void {
  const { host } = config["http.listen"];
  if (isLoopback(host) || config["http.insecureOpen"]) return;
  throw new NodeError(
    `--http ${formatHostPort(config["http.listen"])} is open to others, and roadstead has no users yet: whoever reaches it may push, pull and delete. Where that is meant (a private network), add --insecure-open; else listen on 127.0.0.1 or [::1]`,
  );
}

/** Listens at once, so that a taken port is told before anything else is done. @throws NodeError */
export async function openFront(config: Config, log: Log, random: Random, clock: Clock): Promise<Front> {
  const limits = limitsOf(config);
  const at = config["http.listen"];
  const { "http.tlsCert": certFile, "http.tlsKey": keyFile } = config;
  const waiting = new WaitingRoom(clock, config["http.deadline"]);
  let handler: Handler = waiting.handler;
  try {
    const tls = certFile === "" ? undefined : { certFile, keyFile };
    const listener = await listenHttp((request, signal) => handler(request, signal), { limits, log, random, ...at, tls });
    return {
      listener,
      limits,
      use(next) {
        handler = next;
        waiting.open(next);
      },
    };
  } catch (error) {
    throw listenFailure(error, formatHostPort(at), certFile, keyFile);
  }
}

function listenFailure(error: unknown, at: string, certFile: string, keyFile: string): NodeError {
  const reason = error instanceof Error ? error.message : String(error);
  switch (systemCode(error)) {
    case "EADDRINUSE":
      return new NodeError(`--http ${at}: another program listens there; stop it, or give another port`);
    case "EACCES":
      return new NodeError(
        `--http ${at}: not allowed (ports below 1024 need a privilege), or a TLS file that this user may not read: ${reason}`,
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new NodeError(`--http ${at}: this machine has no such address (${reason})`);
    default:
      return new NodeError(
        certFile === ""
          ? `--http ${at}: ${reason}`
          : `--http ${at} with TLS from ${certFile} and ${keyFile}: ${reason}; expected two PEM files, the certificate chain and its private key without a passphrase`,
      );
  }
}

/**
 * Where requests wait while the node starts: it listens before it can serve, and a client that has several addresses goes to the next one
 * where a connection is refused, but not on a 503.
 */
export class WaitingRoom {
  readonly #clock: Clock;
  readonly #patienceMs: number;
  readonly #opened = Promise.withResolvers<Handler>();

  constructor(clock: Clock, patienceMs: number) {
    this.#clock = clock;
    this.#patienceMs = patienceMs;
  }

  open(handler: Handler): void {
    this.#opened.resolve(handler);
  }

  readonly handler: Handler = async (request, signal) => {
    if (request.path === "/healthz") return json(200, { status: "starting" });
    if (request.path === "/readyz") return starting();
    const { promise: over, resolve } = Promise.withResolvers<undefined>();
    const cancel = this.#clock.after(this.#patienceMs, () => resolve(undefined));
    const left = (): void => resolve(undefined);
    signal.addEventListener("abort", left, { once: true });
    const next = await Promise.race([this.#opened.promise, over]);
    cancel();
    signal.removeEventListener("abort", left);
    return next === undefined ? starting() : next(request, signal);
  };
}

function starting(): HttpResponse {
  return errorResponse(new OciError("UNAVAILABLE", "this node is starting: try again in a moment"));
}
