import { Counter, Gauge, Registry as PromRegistry } from "prom-client";
import type { Amount } from "./admin.ts";
import { RequestTally } from "./request-tally.ts";

/** What a scrape asks of the node. */
export interface MetricSource {
  sample(): MetricSample | Promise<MetricSample>;
}

export interface MetricSample {
  readonly raftTerm: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly role: "leader" | "follower" | "candidate" | "preCandidate";
  /** Elections that this node has begun or seen since its start. */
  readonly elections: number;
  readonly cutOff: boolean;
  /** Blobs held on this node's disk, and their bytes. */
  readonly blobs: number;
  readonly blobBytes: number;
  readonly diskFreeBytes: number;
  /** What blobs leave free for the log. */
  readonly diskReserveBytes: number;
  /** Whether blobs are refused for want of room. */
  readonly diskLow: boolean;
  /** Peers with an open connection. */
  readonly peers: number;
  readonly members: number;
  /** Blobs of the cluster with too few copies, and the bytes of the copies that are lacking. */
  readonly underReplicated: Amount;
  /** Blobs that this node is to move, and the bytes that it has to send. */
  readonly moving: Amount;
  /** Bad copies in this node's quarantine. */
  readonly quarantined: number;
  /** Sent since its start to make copies again, and to move them. */
  readonly repairedBytes: number;
  readonly movedBytes: number;
  readonly scrub: {
    readonly running: boolean;
    readonly done: number;
    readonly endedAtMs: number | undefined;
    readonly readBytes: number;
    readonly badCopies: number;
  };
  /** What consensus turned away on the way between nodes, by the reason. */
  readonly raftTurnedAway: Readonly<Record<string, number>>;
}

export interface Metrics {
  /** Where the app counts. */
  readonly requests: RequestTally;
  readonly contentType: string;
  /** The text exposition format of Prometheus. */
  scrape(): Promise<string>;
}

const ROLES = ["leader", "follower", "candidate", "preCandidate"] as const;

const GAUGES: readonly [name: string, help: string, read: (sample: MetricSample) => number][] = [
  ["roadstead_raft_term", "Raft term of this node.", (sample) => sample.raftTerm],
  ["roadstead_raft_commit_index", "Highest Raft index known to be committed.", (sample) => sample.commitIndex],
  ["roadstead_raft_applied_index", "Highest Raft index applied to the catalog.", (sample) => sample.appliedIndex],
  ["roadstead_raft_elections", "Elections since this node started.", (sample) => sample.elections],
  ["roadstead_cut_off", "1 while no majority of voters can be reached.", (sample) => Number(sample.cutOff)],
  ["roadstead_blobs", "Blobs on this node's disk.", (sample) => sample.blobs],
  ["roadstead_blob_bytes", "Bytes of the blobs on this node's disk.", (sample) => sample.blobBytes],
  ["roadstead_disk_free_bytes", "Bytes that this node may still write on its disk.", (sample) => sample.diskFreeBytes],
  ["roadstead_disk_reserve_bytes", "Of them, what blobs leave free for the log.", (sample) => sample.diskReserveBytes],
  ["roadstead_disk_low", "1 while blobs are refused for want of room.", (sample) => Number(sample.diskLow)],
  ["roadstead_peers", "Peers with an open connection.", (sample) => sample.peers],
  ["roadstead_blobs_under_replicated", "Blobs of the cluster with too few copies.", (sample) => sample.underReplicated.blobs],
  ["roadstead_bytes_under_replicated", "Bytes of the copies that are lacking.", (sample) => sample.underReplicated.bytes],
  ["roadstead_blobs_moving", "Blobs that this node is to move to where they belong.", (sample) => sample.moving.blobs],
  ["roadstead_bytes_moving", "Bytes that it has to send for that.", (sample) => sample.moving.bytes],
  ["roadstead_blobs_quarantined", "Bad copies in this node's quarantine.", (sample) => sample.quarantined],
  ["roadstead_repair_sent_bytes", "Bytes sent since this node started to make copies again.", (sample) => sample.repairedBytes],
  ["roadstead_move_sent_bytes", "Bytes sent since this node started to move copies.", (sample) => sample.movedBytes],
  ["roadstead_scrub_running", "1 while the blobs here are read again.", (sample) => Number(sample.scrub.running)],
  ["roadstead_scrub_done", "How much of that is done, from 0 to 1.", (sample) => sample.scrub.done],
  ["roadstead_scrub_read_bytes", "Bytes read again since this node started.", (sample) => sample.scrub.readBytes],
  ["roadstead_scrub_bad_copies", "Copies that this found to be bad since this node started.", (sample) => sample.scrub.badCopies],
  [
    "roadstead_scrub_ended_timestamp_seconds",
    "When all were last read again; 0 where they were not yet.",
    (sample) => (sample.scrub.endedAtMs ?? 0) / 1_000,
  ],
  ["roadstead_members", "Members of the cluster.", (sample) => sample.members],
];

/** Counting costs additions in flat arrays; what Prometheus reads is made at the scrape. */
export function createMetrics(source: MetricSource): Metrics {
  const registry = new PromRegistry();
  const requests = new RequestTally();
  requests.register(registry);
  const registers = [registry];
  const gauges = GAUGES.map(([name, help, read]) => ({ gauge: new Gauge({ name, help, registers }), read }));
  const role = new Gauge({ name: "roadstead_raft_role", help: "1 for the Raft role of this node.", labelNames: ["role"], registers });
  const turnedAway = new Gauge({
    name: "roadstead_raft_turned_away",
    help: "Streams and messages between nodes that were turned away since this node started.",
    labelNames: ["reason"],
    registers,
  });
  const memory = new Gauge({ name: "process_resident_memory_bytes", help: "Resident memory.", registers });
  const processor = new Counter({ name: "process_cpu_seconds_total", help: "Processor time, user and system.", registers });
  return {
    requests,
    contentType: registry.contentType,
    async scrape() {
      const sample = await source.sample();
      for (const { gauge, read } of gauges) gauge.set(read(sample));
      for (const name of ROLES) role.set({ role: name }, Number(sample.role === name));
      for (const [reason, count] of Object.entries(sample.raftTurnedAway)) turnedAway.set({ reason }, count);
      memory.set(process.memoryUsage.rss());
      const usage = process.cpuUsage();
      processor.reset();
      processor.inc((usage.user + usage.system) / 1e6);
      return registry.metrics();
    },
  };
}
