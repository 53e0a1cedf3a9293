import type { Stream } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import { encode } from "../../core/codec.ts";
import type { Log } from "../../core/log.ts";
import type { RaftId } from "../../core/peer.ts";
import { SnapshotCut, SnapshotError } from "../../metadata/snapshot.ts";
import { ConsensusError } from "../errors.ts";
import type { TransportHandler } from "../transport.ts";
import type { TransportCounters } from "./counters.ts";
import { FrameStream } from "./frames.ts";
import { decodeHello, HELLO_BYTES_MAX, type Hello } from "./hello.ts";

export interface InboundSnapshotOptions {
  readonly stream: Stream;
  readonly from: RaftId;
  readonly self: RaftId;
  readonly cluster: string;
  readonly handler: Pick<TransportHandler, "receiveSnapshot">;
  readonly counters: TransportCounters;
  readonly clock: Clock;
  readonly log: Log;
}

export const CHUNK_BYTES_MAX = 2 ** 20;
const HEAD_TIMEOUT_MS = 5_000;
const CHUNK_TIMEOUT_MS = 20_000;
/** So long the other end has to read the answer and to close its side. */
const LINGER_MS = 5_000;

/** What came of it; or why nothing did: as a list where it is for the start of the sender, which is to end then. */
type Answer = Uint8Array | string | readonly [string];

/** Takes one stream of the snapshot protocol, whatever is said on it: it is answered and ended, and nothing is thrown. */
export async function takeSnapshotStream(options: InboundSnapshotOptions): Promise<void> {
  const { stream: raw, from, counters, clock, log } = options;
  const stream = new FrameStream(raw, CHUNK_BYTES_MAX, HELLO_BYTES_MAX);
  let answer: Answer;
  try {
    answer = await receive(stream, options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const isOutdated = error instanceof ConsensusError && error.code === "outdated";
    if (isOutdated) counters.outdated += 1;
    else if (isMalformed(error)) counters.malformed += 1;
    answer = isOutdated ? [reason] : reason;
    log.warn({ from, error: reason }, "a snapshot was not installed");
  }
  const cancel = clock.after(LINGER_MS, () => stream.abort(new Error("the sender of a snapshot did not close its stream")));
  raw.addEventListener("close", cancel, { once: true });
  if (raw.status !== "open") cancel();
  await stream.write(encode(answer)).catch(() => undefined);
  await stream.close();
}

async function receive(
  stream: FrameStream,
  { from, self, cluster, handler, counters, clock }: InboundSnapshotOptions,
): Promise<Uint8Array> {
  const hello = helloOf(await next(stream, clock, HEAD_TIMEOUT_MS));
  if (hello.cluster !== cluster || hello.from !== from || hello.to !== self) {
    counters.misdirected += 1;
    throw new ConsensusError("transfer", "A snapshot was meant for another cluster or node.", { from: hello.from, to: hello.to });
  }
  const header = await next(stream, clock, HEAD_TIMEOUT_MS);
  return handler.receiveSnapshot(from, hello.boot, header, chunksOf(stream, clock));
}

async function* chunksOf(stream: FrameStream, clock: Clock): AsyncIterable<Uint8Array> {
  for (;;) {
    const chunk = await next(stream, clock, CHUNK_TIMEOUT_MS);
    if (chunk.byteLength === 0) return;
    yield chunk;
  }
}

async function next(stream: FrameStream, clock: Clock, timeoutMs: number): Promise<Uint8Array> {
  const silent = new ConsensusError("transfer", "The sender of a snapshot fell silent.");
  const frame = await stream.read().finally(clock.after(timeoutMs, () => stream.abort(silent)));
  if (frame === undefined) throw new ConsensusError("transfer", "The stream of a snapshot ended before the snapshot did.");
  return frame;
}

function helloOf(bytes: Uint8Array): Hello {
  try {
    return decodeHello(bytes);
  } catch (error) {
    throw new ConsensusError("malformed", "The stream of a snapshot does not begin with a hello.", {}, error);
  }
}

/** A snapshot that was cut may go on; bytes that are none, or were altered, are the sender's fault. */
function isMalformed(error: unknown): boolean {
  if (error instanceof SnapshotError) return !(error instanceof SnapshotCut);
  return error instanceof ConsensusError && error.code === "malformed";
}
