import { existsSync, readFileSync } from "node:fs";
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { request as requestSecure } from "node:https";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { ADMIN_SOCKET, ADMIN_SOCKET_POINTER } from "../config/data-folder.ts";
import { request as requestPlain } from "../core/builtin-http.ts";
import { systemCode } from "../core/errors.ts";
import { Failure } from "./failure.ts";

/** Where a node is spoken to: its HTTP front end, or the unix socket in its data folder. */
export type Door = { readonly server: URL; readonly socket?: undefined } | { readonly socket: string; readonly server?: undefined };

const TIMEOUT_MS = 30_000;

/** The options of every command that speaks with a node. */
export function withDoor(command: Command): Command {
  return command
    .option("--data <dir>", "data folder of a node on this machine; its admin socket is asked [ROADSTEAD_DATA]")
    .option("--server <url>", "a node's HTTP front end [ROADSTEAD_SERVER]")
    .option("--json", "print the answer as JSON");
}

/** @throws Failure where none, or both, are given */
export function doorOf(
  options: { readonly server?: string | undefined; readonly data?: string | undefined },
  environment: Readonly<Record<string, string | undefined>>,
): Door {
  if (options.server !== undefined && options.data !== undefined) throw new Failure("give --server or --data, not both");
  const data = options.data ?? (options.server === undefined ? environment.ROADSTEAD_DATA : undefined);
  if (options.data === undefined) {
    const server = options.server ?? environment.ROADSTEAD_SERVER;
    if (server !== undefined && server !== "") return { server: urlOf(server) };
  }
  if (data === undefined || data === "") {
    throw new Failure("which node? Give --data DIR (its data folder, on this machine) or --server URL");
  }
  return { socket: socketOf(data) };
}

function urlOf(text: string): URL {
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Failure(`${JSON.stringify(text)} is no server; expected a URL such as http://127.0.0.1:5000`);
  }
  return url;
}

/** The unix socket of the node whose data folder this is. */
export function socketOf(data: string): string {
  const pointer = join(data, ADMIN_SOCKET_POINTER);
  return existsSync(pointer) ? readFileSync(pointer, "utf8").trim() : resolve(data, ADMIN_SOCKET);
}

/**
 * One request to the admin door.
 * @returns the JSON of the answer
 * @throws Failure with what the node said, or why it was not reached
 */
export async function callAdmin(door: Door, method: "GET" | "POST", path: string, body?: unknown): Promise<unknown> {
  const { status, text } = await send(door, method, path, body === undefined ? undefined : JSON.stringify(body));
  const answer = parseJson(text);
  if (status >= 200 && status < 300 && answer !== undefined) return answer;
  if (status === 404 && door.server !== undefined) {
    throw new Failure(
      `${door.server.origin} has no admin API: it is served on the unix socket in the node's data folder alone; run this there with --data DIR`,
    );
  }
  throw new Failure(`the node answered ${status}: ${messageOf(answer) ?? (text.slice(0, 200).trim() || "nothing more")}`);
}

function send(door: Door, method: string, path: string, body: string | undefined): Promise<{ status: number; text: string }> {
  const headers = body === undefined ? {} : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) };
  const options = { method, headers, timeout: TIMEOUT_MS };
  return new Promise((resolvePromise, reject) => {
    const take = (response: IncomingMessage): void => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolvePromise({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }));
      response.on("error", reject);
    };
    const request = open(door, path, options, take);
    request.on("timeout", () => request.destroy(new Failure(`the node did not answer within ${TIMEOUT_MS / 1_000} s`)));
    request.on("error", (error) => reject(unreachable(door, error)));
    request.end(body);
  });
}

function open(door: Door, path: string, options: RequestOptions, take: (response: IncomingMessage) => void): ClientRequest {
  if (door.server === undefined) return requestPlain({ ...options, socketPath: door.socket, path }, take);
  const url = new URL(path, door.server);
  return url.protocol === "https:" ? requestSecure(url, options, take) : requestPlain(url, options, take);
}

function unreachable(door: Door, error: Error): Failure {
  if (error instanceof Failure) return error;
  const code = systemCode(error);
  if (door.server !== undefined)
    return new Failure(`${door.server.origin} cannot be reached (${code ?? error.message}); is the node running there?`);
  if (code === "EACCES") return new Failure(`${door.socket} is another user's; run this as the user that runs the node`);
  return new Failure(`no node runs on this data folder (${door.socket}: ${code ?? error.message}); start it, or name another with --data`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The first message of the spec's error JSON. */
function messageOf(answer: unknown): string | undefined {
  if (typeof answer !== "object" || answer === null || !("errors" in answer) || !Array.isArray(answer.errors)) return undefined;
  const first: unknown = answer.errors[0];
  return typeof first === "object" && first !== null && "message" in first ? String(first.message) : undefined;
}
