import type { Driver } from "../consensus/driver.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Host } from "../exchange/libp2p/host.ts";
import type { Verified } from "../http/admin.ts";
import { verifyCatalog } from "../metadata/verify.ts";
import type { Audit } from "../upkeep/audit.ts";
import { LeaderSchedule } from "../upkeep/leader-schedule.ts";
import type { DiskFindings } from "../upkeep/verify-disk.ts";
import { askVerify } from "./verify-protocol.ts";

export interface VerificationOptions {
  readonly consensus: Driver;
  readonly host: Host;
  readonly verifyDisk: (signal: AbortSignal) => Promise<DiskFindings>;
  readonly audit: Audit;
  /** `gc.verifyEvery`: how long after one the leader begins another. */
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface VerificationState {
  readonly running: boolean;
  readonly failure: string | undefined;
  readonly last: Verified | undefined;
}

const FINDINGS_MAX = 100;

/** Compares the catalog's counts with its manifests, and each node's disk with the records: when it is told to, and by its schedule while this node leads. */
export class Verification {
  readonly #options: VerificationOptions;
  readonly #stopping = new AbortController();
  readonly #schedule: LeaderSchedule;
  #work: Promise<void> | undefined;
  #failure: string | undefined;
  #last: Verified | undefined;

  constructor(options: VerificationOptions) {
    this.#options = options;
    this.#schedule = new LeaderSchedule({ ...options, membership: options.consensus, run: () => this.start() });
  }

  state(): VerificationState {
    return { running: this.#work !== undefined, failure: this.#failure, last: this.#last };
  }

  /** Begins one, unless one goes on. */
  start(): void {
    if (this.#work !== undefined || this.#stopping.signal.aborted) return;
    this.#failure = undefined;
    this.#work = this.#run()
      .catch((error: unknown) => {
        if (this.#stopping.signal.aborted) return;
        this.#failure = error instanceof Error ? error.message : String(error);
        this.#options.log.warn({ error }, "the catalog and the disks could not be compared: it is tried again with the next time");
      })
      .finally(() => {
        this.#work = undefined;
        this.#schedule.ran();
      });
  }

  async idle(): Promise<void> {
    while (this.#work !== undefined) await this.#work;
  }

  stop(): void {
    this.#schedule.stop();
    this.#stopping.abort(new DOMException("the node stops", "AbortError"));
  }

  async #run(): Promise<void> {
    const { audit, clock, log } = this.#options;
    const startedAt = new Date(clock.wallMs()).toISOString();
    const [catalog, nodes] = await Promise.all([this.#catalog(), this.#disks()]);
    const onDisks = nodes.flatMap(({ findings }) => findings);
    const found = catalog.found + nodes.reduce((sum, node) => sum + node.found, 0);
    const findings = [...catalog.findings, ...onDisks].slice(0, FINDINGS_MAX);
    const { manifests, links, blobs } = catalog;
    this.#last = {
      startedAt,
      endedAt: new Date(clock.wallMs()).toISOString(),
      ...{ manifests, links, blobs, found, findings },
      nodes: nodes.map(({ node, files, copies }) => ({ node, files, copies })),
    };
    if (found === 0) return log.info({ manifests, links, blobs }, "catalog and disks agree");
    log.error(
      { found, findings },
      "the catalog's counts, its manifests and the disks do not agree: hold the collector (`roadstead gc hold`) and look",
    );
    audit.note({ action: "gc.verify", target: `${found} findings`, detail: findings[0] ?? "" });
  }

  async #catalog(): ReturnType<typeof verifyCatalog> {
    const { consensus } = this.#options;
    await consensus.barrier(this.#stopping.signal);
    const snapshot = await consensus.catalog.snapshot();
    try {
      return await verifyCatalog(snapshot, this.#stopping.signal);
    } finally {
      await snapshot.close();
    }
  }

  #disks(): Promise<readonly NodeFindings[]> {
    const { clock, consensus, host, log, verifyDisk } = this.#options;
    const asked = consensus.catalog.members().map(async ({ raftId, peerId, name }) => {
      const isSelf = raftId === consensus.self;
      return findingsOf(name, isSelf ? await verifyDisk(this.#stopping.signal) : await askVerify(host, peerId, clock, log));
    });
    return Promise.all(asked);
  }
}

interface NodeFindings {
  readonly node: string;
  readonly files: number | undefined;
  readonly copies: number | undefined;
  readonly found: number;
  readonly findings: readonly string[];
}

/** One that is away is no finding: it sweeps its disk when it is back. */
function findingsOf(node: string, disk: DiskFindings | undefined): NodeFindings {
  if (disk === undefined) return { node, files: undefined, copies: undefined, found: 0, findings: [] };
  const { files, copies, missing, missingCount, strays, strayCount } = disk;
  const findings = [
    ...missing.map((digest) => `${node} has no file of ${digest}, a copy of which the record lists there`),
    ...strays.map((digest) => `${node} has a file of ${digest}, which no record knows and no push waits for`),
  ];
  return { node, files, copies, found: missingCount + strayCount, findings };
}
