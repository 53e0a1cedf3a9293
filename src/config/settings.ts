import {
  bytes,
  clientAddress,
  count,
  duration,
  hostPort,
  type Kind,
  label,
  list,
  oddCount,
  oneOf,
  peerAddress,
  text,
  weight,
  yesNo,
} from "./kinds.ts";

/** One setting: the one place where its default, its unit and its help stand. */
export interface Setting<T> extends Kind<T> {
  /** As it would be written; empty where there is none. */
  readonly default: string;
  readonly help: string;
  /** The name on the command line where it is not the key in kebab-case. */
  readonly flag: string | undefined;
}

function setting<T>(defaultText: string, kind: Kind<T>, help: string, flag?: string): Setting<T> {
  return { ...kind, default: defaultText, help, flag };
}

/** The loader, `--help`, the environment names and config/roadstead.yaml derive from this. */
export const SETTINGS = {
  data: setting("", text, "Folder of this node's data: blobs, log, catalog, identity. One process at a time.", "data"),
  "node.name": setting("", label, "Name of this node for people. Without one: the host's name.", "name"),
  "node.zone": setting("", label, "Failure domain (rack, room, cloud zone); copies are spread over zones.", "zone"),
  "node.capacity": setting("1", weight, "Relative weight in the placement of blobs: a node of 2 keeps twice what a node of 1 keeps."),
  "http.listen": setting("127.0.0.1:5000", hostPort, "Where clients connect.", "http"),
  "http.advertise": setting(
    "",
    clientAddress,
    "What clients are told to connect to (client-config, status). Without it: where they connect, with a wildcard replaced by what the other nodes dial.",
  ),
  "http.tlsCert": setting("", text, "PEM file with the certificate chain; with http.tlsKey, clients speak HTTPS."),
  "http.tlsKey": setting("", text, "PEM file with the private key of http.tlsCert."),
  "http.insecureOpen": setting(
    "false",
    yesNo,
    "Allow http.listen beyond loopback while there are no users: anyone who reaches it may push, pull and delete.",
    "insecure-open",
  ),
  "http.deadline": setting("10s", duration, "How long a request waits through elections before it is answered 503."),
  "http.idleTimeout": setting(
    "60s",
    duration,
    "A client that neither sends nor takes a byte for so long is cut off; an upload has no limit in all.",
  ),
  "http.manifestSizeMax": setting("4MiB", bytes, "Largest manifest accepted."),
  "p2p.listen": setting("127.0.0.1:5100", hostPort, "Where the other nodes connect.", "p2p"),
  "p2p.advertise": setting(
    "",
    list(peerAddress),
    "Addresses that the other nodes are told. Without any: those that p2p.listen has, never a wildcard.",
    "advertise",
  ),
  "durability.copies": setting(
    "3",
    count(1, 64),
    "Nodes that are to keep a copy of each blob; at most as many as there are. Read when the cluster is made.",
  ),
  "durability.acks": setting(
    "2",
    count(1, 64),
    "Copies that are durable before a push is acknowledged; at most durability.copies. Read when the cluster is made.",
  ),
  "durability.repairAfter": setting(
    "10m",
    duration,
    "Copies of a member that has been down for so long are made again elsewhere; what a removal, a drain or a bad copy left short is mended at once.",
  ),
  "durability.moveRate": setting(
    "50MiB",
    bytes,
    "Bytes a second that this node sends at most to move copies to where they belong, after a join say. Repair of what is short of copies is not held back.",
  ),
  "durability.scrubEvery": setting(
    "14d",
    duration,
    "Within so long every blob on this node is read again and checked, as slowly as that allows; a bad copy is healed from another node.",
  ),
  "durability.scrubRate": setting(
    "20MiB",
    bytes,
    "Bytes a second that this reads at most; `status` says so where that is too slow for durability.scrubEvery.",
  ),
  "cluster.voters": setting(
    "5",
    oddCount(9),
    "Voters at most; other nodes are learners, which serve everything and cost no commit latency.",
  ),
  "cluster.downAfter": setting(
    "30s",
    duration,
    "A member that the leader has not heard from for so long, and another one does not reach either, counts as down until it is heard again.",
  ),
  "cluster.replaceAfter": setting(
    "30m",
    duration,
    "A voter that is down for so long gives its vote to a learner, where there is one; at most one in as long a time.",
  ),
  "raft.tick": setting("100ms", duration, "One unit of Raft's logical time; an election takes 10 to 20."),
  "raft.logKeep": setting(
    "10000",
    count(1, 1_000_000),
    "Log entries kept for members that fall behind; one that needs older ones gets a snapshot of the catalog.",
  ),
  "manifests.sparse": setting(
    "",
    list(label),
    "Projects whose manifests may name content that is not there (sparse indexes and images); the same on every node.",
  ),
  "uploads.expireAfter": setting("24h", duration, "An upload session that is idle for so long is dropped."),
  "gc.every": setting("1h", duration, "How long after a run of the garbage collector the leader begins another."),
  "gc.verifyEvery": setting(
    "24h",
    duration,
    "How long after one the leader compares again the catalog's counts with its manifests, and the disks of all nodes with the catalog.",
  ),
  "gc.rate": setting("200MiB", bytes, "Bytes a second of blobs that a node unlinks at most."),
  "gc.lease": setting(
    "24h",
    duration,
    "How long what a pusher was told of stays without a manifest that names it; at least uploads.expireAfter. Read when the cluster is made.",
  ),
  "gc.grace": setting(
    "1h",
    duration,
    "How long a blob stays after the last manifest that names it is gone. Read when the cluster is made.",
  ),
  "gc.trash": setting("24h", duration, "How long a deleted manifest can be taken back. Read when the cluster is made."),
  "shutdown.delay": setting(
    "1s",
    duration,
    "A node that is asked to stop goes on taking connections for so long, with /readyz at 503, so that whoever looks there sends clients elsewhere.",
  ),
  "shutdown.timeout": setting(
    "30s",
    duration,
    "How long running transfers may take to end once the node is asked to stop; what still runs then is cut.",
  ),
  "log.level": setting(
    "info",
    oneOf("debug", "info", "warn", "error"),
    "Least severe line that is logged (JSON lines on standard output).",
  ),
} as const;

export type Key = keyof typeof SETTINGS;
type ValueOf<S> = S extends Setting<infer T> ? T : never;
/** Parsed values by key: durations in ms, sizes in bytes. */
export type Config = { readonly [K in Key]: ValueOf<(typeof SETTINGS)[K]> };

export const KEYS = Object.keys(SETTINGS) as readonly Key[];

/** `http.manifestSizeMax` is `ROADSTEAD_HTTP_MANIFEST_SIZE_MAX`. */
export function environmentName(key: Key): string {
  return `ROADSTEAD_${kebab(key).replaceAll("-", "_").toUpperCase()}`;
}

/** `http.manifestSizeMax` is `http-manifest-size-max`; `http.listen` has the short name `http`. */
export function flagName(key: Key): string {
  return SETTINGS[key].flag ?? kebab(key);
}

function kebab(key: Key): string {
  return key.replaceAll(".", "-").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
