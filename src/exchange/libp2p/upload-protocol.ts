import type { Stream } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import { isAbortError, OciError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import { abortError, untilAborted } from "../abort.ts";
import type { Exchange, UploadAnswer, UploadCall } from "../exchange.ts";
import type { Transfers } from "../transfers.ts";
import { Channel, ChannelEnded } from "./channel.ts";
import type { Host } from "./host.ts";
import { asFields, packError, REQUEST_SIZE_MAX, throwIfError, UPLOAD_PROTOCOL } from "./wire.ts";

export type CallHandler = Parameters<Exchange["onCall"]>[0];

const REDIAL_MS = 250;

export interface UploadCaller {
  readonly host: Host;
  readonly clock: Clock;
  /** How long the owner is awaited: it may be restarting. Nothing of the body has been taken until it answers the dial. */
  readonly reachMs: number;
}

/** @see Exchange.call */
export async function callOwner(
  caller: UploadCaller,
  owner: PeerId,
  request: UploadCall,
  body: AsyncIterable<Uint8Array> | undefined,
  signal: AbortSignal,
): Promise<UploadAnswer> {
  const channel = new Channel(await reach(caller, owner, signal));
  const unbind = channel.abortOn(signal);
  try {
    await channel.writeFrame({ request, hasBody: body !== undefined });
    const answer = readAnswer(channel);
    answer.catch(() => {}); // awaited below; the pump may throw first
    if (body !== undefined) await pump(channel, body, answer);
    const fields = await answer;
    await channel.end(caller.clock);
    throwIfError(fields);
    return asFields(fields.answer) as UploadAnswer;
  } catch (error) {
    channel.abort(error instanceof Error ? error : new Error(String(error)));
    signal.throwIfAborted();
    if (error instanceof OciError || isAbortError(error)) throw error;
    throw new OciError("UNAVAILABLE", "the owner of the upload went away before it answered", { owner }, error);
  } finally {
    unbind();
  }
}

async function reach({ host, clock, reachMs }: UploadCaller, owner: PeerId, signal: AbortSignal) {
  const giveUpMs = clock.monotonicMs() + reachMs;
  for (;;) {
    try {
      return await host.dial(owner, UPLOAD_PROTOCOL, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!host.isMember(owner) || clock.monotonicMs() + REDIAL_MS > giveUpMs) throw error;
    }
    await untilAborted(new Promise<void>((resolve) => void clock.after(REDIAL_MS, resolve)), signal);
  }
}

async function readAnswer(channel: Channel): Promise<Readonly<Record<string, unknown>>> {
  const value = await channel.readFrame(REQUEST_SIZE_MAX);
  if (value === undefined) throw new ChannelEnded("the owner of the upload closed without an answer");
  return asFields(value);
}

/** The body, one chunk at a time, until it ends or the owner answers: a refusal need not wait for the rest. An error of the source goes to the caller. */
async function pump(channel: Channel, body: AsyncIterable<Uint8Array>, answer: Promise<unknown>): Promise<void> {
  let answered = false;
  let wake: (() => void) | undefined;
  const stop = (): void => {
    answered = true;
    wake?.();
  };
  answer.then(stop, stop);
  const chunks = body[Symbol.asyncIterator]();
  let done = false;
  try {
    while (!answered) {
      // not `Promise.race` with the answer: it would keep every chunk until the answer comes
      const next = await new Promise<IteratorResult<Uint8Array> | undefined>((resolve, reject) => {
        wake = () => resolve(undefined);
        chunks.next().then(resolve, reject);
      });
      if (next === undefined) break;
      done = next.done === true;
      if (done) break;
      await channel.writeFramed(next.value);
    }
    if (done && !answered) await channel.endFramed();
  } catch (error) {
    if (!answered) throw error;
  } finally {
    if (!done) void Promise.resolve(chunks.return?.()).catch(() => {}); // a source that is waiting for its client is not waited for
  }
}

export interface UploadServer {
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Log;
  readonly transfers: Transfers;
  /** Asked for at each call, so that it may be set late. */
  handler(): CallHandler | undefined;
}

/** This node's side. */
export async function serveUploads(server: UploadServer): Promise<void> {
  await server.host.handle(UPLOAD_PROTOCOL, (stream, from) => server.transfers.run(() => serveCall(server, stream, from)));
}

async function serveCall({ clock, log, handler }: UploadServer, stream: Stream, from: PeerId): Promise<void> {
  const channel = new Channel(stream);
  const controller = new AbortController();
  channel.onClosed(() => controller.abort(abortError("the node that forwarded the upload went away")));
  try {
    const value = await channel.readFrame(REQUEST_SIZE_MAX);
    if (value === undefined) return channel.abort(new ChannelEnded("the peer asked nothing"));
    const { request, hasBody } = asFields(value);
    const body = hasBody === true ? channel.framedBody() : noBytes();
    const answer = await answerTo(handler(), from, asFields(request) as UploadCall, body, controller.signal, log);
    await channel.writeFrame(answer);
    await channel.end(clock);
  } catch (error) {
    channel.abort(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

async function answerTo(
  handler: CallHandler | undefined,
  from: PeerId,
  request: UploadCall,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  log: Log,
): Promise<Readonly<Record<string, unknown>>> {
  try {
    if (handler === undefined) throw new OciError("UNAVAILABLE", "the owner of the upload is still starting");
    return { answer: await handler(from, request, body, signal) };
  } catch (error) {
    if (!(error instanceof OciError) && !signal.aborted) log.error({ peer: from, error }, "a forwarded upload request failed");
    return packError(error);
  }
}

async function* noBytes(): AsyncIterable<Uint8Array> {}
