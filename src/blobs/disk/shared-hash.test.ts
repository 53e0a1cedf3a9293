import { expect, test } from "vitest";
import { hashPiece, PIECE_SIZE_BYTES } from "../../core/pieces.ts";
import { sampleBytes } from "../sample-bytes.ts";
import { threadFileSystem } from "./file-system.ts";
import { inPlace, type StartLane, startThread } from "./hash-lane.ts";
import { HashPool } from "./hash-pool.ts";
import type { SharedHash } from "./shared-hash.ts";

const BLOCK_SIZE_BYTES = 300_000;
const PIECE = new Uint8Array(new SharedArrayBuffer(PIECE_SIZE_BYTES));
PIECE.set(sampleBytes(PIECE_SIZE_BYTES, 17));

async function begun(pool: HashPool): Promise<SharedHash> {
  expect(pool.sharedHash()).toBeUndefined(); // the thread is only being started
  await pool.hashPiece(0, 0, 0); // answered: it has started
  const hash = pool.sharedHash();
  if (hash === undefined) throw new Error("a thread that has answered is not taken for started");
  return hash;
}

function feed(hash: SharedHash, bytes: Uint8Array<SharedArrayBuffer>): void {
  for (let start = 0; start < bytes.byteLength; start += BLOCK_SIZE_BYTES) hash.update(bytes.subarray(start, start + BLOCK_SIZE_BYTES));
}

test.each([PIECE_SIZE_BYTES, 5, 0])("G6: %i bytes in shared memory are hashed by a thread as they come", async (sizeBytes) => {
  const pool = new HashPool({ threads: 1, startLane: startThread });
  try {
    const hash = await begun(pool);
    feed(hash, PIECE.subarray(0, sizeBytes));
    expect(await hash.digest()).toBe(hashPiece(PIECE.subarray(0, sizeBytes)));
  } finally {
    await pool.close();
  }
});

test("G6: where the thread did not hash all parts there is no digest", async () => {
  const failing: StartLane = (onReply, onDeath) => {
    const lane = inPlace(threadFileSystem)(onReply, onDeath);
    const fail = (id: number): void => onReply({ id, failure: { code: "EHASH", message: "no" } });
    const fails = (position: number): boolean => position === 4 * BLOCK_SIZE_BYTES;
    return {
      ...lane,
      post: (request) => {
        if (request.command.type === "hash" && fails(request.command.position)) queueMicrotask(() => fail(request.id));
        else lane.post(request);
      },
    };
  };
  const hash = await begun(new HashPool({ threads: 1, startLane: failing }));
  feed(hash, PIECE);
  await expect(hash.digest()).rejects.toThrow("no");
});
