import { Counter, Gauge, Registry as PromRegistry } from "prom-client";
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
