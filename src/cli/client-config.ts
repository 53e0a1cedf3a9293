import type { IncomingMessage, RequestOptions } from "node:http";
import { request as requestSecure, Agent as SecureAgent } from "node:https";
import { Command, InvalidArgumentError, Option } from "commander";
import { Agent as PlainAgent, request as requestPlain } from "../core/builtin-http.ts";
import { callAdmin, doorOf, withDoor } from "./admin-client.ts";
import { CLIENTS, type ClientKind, clientFile, type Mirror } from "./client-files.ts";
import { Failure } from "./failure.ts";
import type { Terminal } from "./program.ts";
import { type ClusterStatus, STATUS_PATH } from "./status.ts";

interface Options {
  readonly for: ClientKind;
  readonly registry: string;
  readonly node: readonly string[];
  readonly data?: string;
  readonly server?: string;
  readonly json?: boolean;
}

interface Target {
  readonly name: string;
  /** In the order in which they are tried: a member's row has no scheme. */
  readonly urls: readonly string[];
}

const REQUESTS = 5;
const PATIENCE_MS = 2_000;
/** Of those that did not answer: a number that can be subtracted from itself. */
const NEVER_MS = 1e9;

export function clientConfigCommand(terminal: Terminal): Command {
  return withDoor(
    new Command("client-config").description(
      "Print the configuration by which containerd, podman or docker find the nodes, the nearest first as measured from this machine.",
    ),
  )
    .addOption(new Option("--for <client>", "whose configuration").choices(CLIENTS).makeOptionMandatory())
    .requiredOption("--registry <name>", "the name that images are called by, such as registry.example.com or 10.0.0.1:5000", readRegistry)
    .option("--node <url>", "a node's HTTP front end; once for each, instead of --data, on a machine without a node", collect, [])
    .action(async (options: Options) => {
      const targets = options.node.length > 0 ? options.node.map(targetOf) : await membersOf(options, terminal);
      const mirrors = nearestFirst(await Promise.all(targets.map(measure)));
      if (mirrors.every(({ ms }) => ms === undefined)) {
        throw new Failure(
          `no node answers from here: ${mirrors.map(({ url }) => url).join(", ")}. Give the addresses that clients use with --node URL, and let nodes tell theirs by http.advertise`,
        );
      }
      const file = clientFile(options.for, options.registry, mirrors);
      terminal.print(options.json === true ? `${JSON.stringify({ nodes: mirrors, ...file }, undefined, 2)}\n` : file.text);
      for (const note of [`for ${file.path}`, ...file.notes, ...doubts(mirrors)]) terminal.progress(`note: ${note}`, true);
    });
}

async function membersOf(options: Options, { environment }: Terminal): Promise<readonly Target[]> {
  const { nodes } = (await callAdmin(doorOf(options, environment), "GET", STATUS_PATH)) as ClusterStatus;
  return nodes.map(({ name, http }) => ({ name, urls: [`http://${http}`, `https://${http}`] }));
}

function targetOf(url: string): Target {
  return { name: new URL(url).host, urls: [url] };
}

/** A name of the `--registry` option stands in files and in a path. */
function readRegistry(text: string): string {
  if (/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?$/.test(text)) return text;
  throw new InvalidArgumentError("Expected a host name or an IPv4 address, and a port where there is one.");
}

function collect(text: string, before: readonly string[]): readonly string[] {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new InvalidArgumentError("Expected a URL such as http://10.0.0.1:5000.");
  return [...before, url.origin];
}

async function measure({ name, urls }: Target): Promise<Mirror> {
  for (const url of urls) {
    const ms = await medianMs(url);
    if (ms !== undefined) return { name, url, ms };
  }
  return { name, url: urls[0] ?? "", ms: undefined };
}

/** Over one connection, the first request left out: that is the way to the node and not how long it takes to connect. */
async function medianMs(url: string): Promise<number | undefined> {
  const times: number[] = [];
  const isSecure = url.startsWith("https:");
  const agent = isSecure ? new SecureAgent({ keepAlive: true, maxSockets: 1 }) : new PlainAgent({ keepAlive: true, maxSockets: 1 });
  try {
    for (let at = 0; at <= REQUESTS; at += 1) {
      const begun = performance.now();
      await answered(url, isSecure, { agent, timeout: PATIENCE_MS });
      if (at > 0) times.push(performance.now() - begun);
    }
  } catch {
    return undefined; // nobody there, or another scheme than this one
  } finally {
    agent.destroy();
  }
  return times.sort((a, b) => a - b)[REQUESTS >> 1];
}

/** Whatever the answer is. Whether the certificate is one that clients trust is theirs to say: nothing is told or believed here. */
function answered(url: string, isSecure: boolean, options: RequestOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const take = (response: IncomingMessage): void => {
      response.on("end", resolve).on("error", reject).resume();
    };
    const at = new URL("/v2/", url);
    const request = isSecure ? requestSecure(at, { ...options, rejectUnauthorized: false }, take) : requestPlain(at, options, take);
    request.on("timeout", () => request.destroy(new Failure("no answer in time")));
    request.on("error", reject);
    request.end();
  });
}

/** Those that did not answer are the last resort: they may be down at the moment. */
function nearestFirst(mirrors: readonly Mirror[]): readonly Mirror[] {
  return mirrors.toSorted((a, b) => (a.ms ?? NEVER_MS) - (b.ms ?? NEVER_MS) || a.name.localeCompare(b.name));
}

/** What is likely to be wrong with the addresses, for whoever takes the file elsewhere. */
function doubts(mirrors: readonly Mirror[]): readonly string[] {
  const near = mirrors.filter(({ url }) => /^(?:127\.|localhost$|\[::1\]$)/.test(new URL(url).hostname));
  const silent = mirrors.filter(({ ms }) => ms === undefined);
  const names = (those: readonly Mirror[]): string => those.map(({ name }) => name).join(", ");
  return [
    ...(near.length === 0
      ? []
      : [
          `${names(near)}: an address that only this machine reaches; let the node listen on another (--http) or tell another (http.advertise)`,
        ]),
    ...(silent.length === 0 ? [] : [`${names(silent)}: no answer from here; kept as the last resort`]),
  ];
}
