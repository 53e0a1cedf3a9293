import type { StorageLimits } from "../../src/consensus/open-consensus.ts";
import type { Timing } from "../../src/consensus/timing.ts";
import type { Random } from "../../src/core/random.ts";
import type { DiskOptions } from "./disk/disk-weather.ts";
import type { Shape } from "./founding.ts";

/** What a seed is about, but for its faults: drawn once. */
export interface Settings {
  readonly shape: Shape;
  readonly timing: Timing;
  /** Small ones, so that what takes hours and gigabytes elsewhere is reached here. */
  readonly limits: StorageLimits;
  readonly disk: DiskOptions;
  readonly keepsImages: boolean;
  readonly delayMsMax: number;
  readonly clients: number;
  readonly tags: number;
  /** Between an answer and the next request. */
  readonly thinkMs: number;
  readonly patienceMs: number;
  /** Of the manifests that are large; each eighth is. */
  readonly manifestBytes: number;
  /** How often a write is followed by reads at another node that has asked just before. */
  readonly readBackRatio: number;
  readonly votersMax: number;
  /** Whether nodes speak through the transport of the product, over streams that are simulated, instead of messages. */
  readonly streams: boolean;
}

const SHAPES: readonly Shape[] = [
  { voters: 1, learners: 0 },
  { voters: 1, learners: 1 },
  { voters: 2, learners: 0 },
  { voters: 3, learners: 0 },
  { voters: 3, learners: 0 },
  { voters: 3, learners: 1 },
  { voters: 3, learners: 2 },
  { voters: 5, learners: 0 },
  { voters: 5, learners: 0 },
  { voters: 5, learners: 0 },
];

const STREAMS_RATIO = 0.15;

export function drawSettings(random: Random): Settings {
  const one = <T>(...choices: readonly T[]): T => choices[Math.floor(random.float() * choices.length)]!;
  const shape = one(...SHAPES);
  const tickMs = 100;
  const manifestBytes = one(2, 2, 2, 70_000);
  const electionTicks = one(3, 4, 5, 10);
  const timing: Timing = {
    tickMs,
    electionTicks,
    heartbeatTicks: 1,
    contactMs: tickMs * electionTicks,
    deadlineMs: one(1_500, 3_000, 6_000),
    resendMs: one(150, 400, 1_000),
    readRoundMs: one(150, 300, 500),
    clockTickMs: one(700, 5_000),
    proposalsMax: one(3, 512),
    proposalBytesMax: 32 * 2 ** 20,
    appendBytes: one(200, 700, 2 ** 20),
    keepEntries: one(1, 2, 8, 10_000),
    keepBytes: 64 * 2 ** 20,
    sealEntries: one(4, 1_000),
  };
  const writeBufferBytes = one(2_000, 20_000, 200_000);
  // Links may go once what they tell of has left the log of the database.
  const linkBytes = one(2, 100) * (writeBufferBytes + manifestBytes);
  return {
    shape,
    timing,
    limits: {
      tailBytes: one(1_000, 2 ** 20),
      batchBytes: one(1, 2 ** 20),
      chainBytes: linkBytes,
      sealBytes: linkBytes,
      cacheBytes: one(2_000, 2 ** 20),
      writeMs: one(5, 50),
      unwrittenBytes: one(100, 1_000, 2 ** 20),
      syncMs: one(150, 1_000),
      syncEntries: one(2, 8, 4_096),
    },
    disk: { syncMsMax: one(1, 10, 40), writeBufferBytes, keepsWitness: one(true, false) },
    keepsImages: true,
    delayMsMax: one(3, 20, 60),
    clients: one(2, 3, 4),
    tags: one(1, 2, 3),
    thinkMs: one(80, 250, 700),
    patienceMs: one(600, 1_500, 4_000),
    manifestBytes,
    readBackRatio: one(0, 0, 0.5),
    votersMax: Math.max(shape.voters, one(1, 3, 5)),
    streams: random.float() < STREAMS_RATIO,
  };
}
