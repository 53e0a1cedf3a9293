import { type Clock, pause } from "../core/clock.ts";
import { type Digest, parseDigest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { PeerId } from "../core/peer.ts";
import { parseRepositoryName, type RepositoryName } from "../core/reference.ts";
import type { UploadAnswer, UploadCall } from "../exchange/exchange.ts";
import type { Context } from "./context.ts";
import { cutOffError } from "./freshness.ts";
import { assertRoom } from "./quota.ts";
import type { Caller, UploadChunk, UploadProgress } from "./registry.ts";
import { formatUploadId, parseUploadId, unknownUpload } from "./upload-id.ts";
import { UploadOwner } from "./upload-owner.ts";

const RETRY_MS = 250;
/** An owner that neither takes nor says anything for so long is not waited for where this node is cut off: its packets may be lost, and nothing says so (G3: 503 within 2 s). */
const CUT_OFF_WAIT_MS = 1_000;

/** Any node takes any request of an upload (G4): the owner's name is in the session's id, and what is not for this node is passed to it. */
export class UploadDesk {
  readonly #context: Context;
  readonly #owner: UploadOwner;

  constructor(context: Context) {
    this.#context = context;
    this.#owner = new UploadOwner(context);
    context.exchange.onCall((from, request, body, signal) => this.#serve(from, request, body, signal));
  }

  async start(caller: Caller, repository: RepositoryName, algorithm: "sha256" | "sha512", signal: AbortSignal): Promise<UploadProgress> {
    await assertRoom(this.#context.consensus, repository, signal);
    const { id: local, offset } = await this.#owner.start(caller, repository, algorithm);
    return { id: formatUploadId({ owner: this.#context.self.peerId, local }), offset };
  }

  async progress(caller: Caller, repository: RepositoryName, id: string, signal: AbortSignal): Promise<UploadProgress> {
    const { owner, local } = parseUploadId(id);
    if (owner === this.#context.self.peerId) return { id, offset: await this.#owner.progress(caller, repository, local) };
    const request = { op: "status", repository, principal: caller.principal, id: local };
    return { id, offset: offsetOf(await this.#forward(owner, id, request, undefined, signal)) };
  }

  async append(caller: Caller, chunk: UploadChunk, signal: AbortSignal): Promise<UploadProgress> {
    const { id, repository, offset, sizeBytes, body } = chunk;
    const { owner, local } = parseUploadId(id);
    if (owner === this.#context.self.peerId) {
      return { id, offset: await this.#owner.append(caller, { repository, local, offset, sizeBytes, body }, signal) };
    }
    const request = { op: "append", repository, principal: caller.principal, id: local, offset, sizeBytes };
    return { id, offset: offsetOf(await this.#forward(owner, id, request, body, signal)) };
  }

  async finish(
    caller: Caller,
    chunk: UploadChunk & { readonly digest: Digest },
    signal: AbortSignal,
  ): Promise<{ readonly digest: Digest }> {
    const { id, repository, offset, sizeBytes, body, digest } = chunk;
    const { owner, local } = parseUploadId(id);
    if (owner === this.#context.self.peerId)
      await this.#owner.finish(caller, { repository, local, offset, sizeBytes, body }, digest, signal);
    else {
      const request = { op: "finish", repository, principal: caller.principal, id: local, offset, sizeBytes, digest };
      await this.#forward(owner, id, request, body, signal);
    }
    return { digest };
  }

  async cancel(caller: Caller, repository: RepositoryName, id: string, signal: AbortSignal): Promise<void> {
    const { owner, local } = parseUploadId(id);
    if (owner === this.#context.self.peerId) return this.#owner.cancel(caller, repository, local);
    await this.#forward(owner, id, { op: "cancel", repository, principal: caller.principal, id: local }, undefined, signal);
  }

  /**
   * The owner is awaited while it restarts, as long as no byte of the body was taken: those are gone.
   * @throws OciError BLOB_UPLOAD_UNKNOWN where the owner is no member any more, or silent for too long
   */
  async #forward(
    owner: PeerId,
    id: string,
    request: UploadCall,
    body: AsyncIterable<Uint8Array> | undefined,
    signal: AbortSignal,
  ): Promise<UploadAnswer> {
    const { clock, consensus, limits } = this.#context;
    const untilMs = clock.monotonicMs() + limits.ownerWaitMs;
    const watched = body === undefined ? undefined : new WatchedBody(body, clock);
    for (;;) {
      if (!this.#isMember(owner)) await this.#assertFresh(owner, id, signal);
      const answer = await this.#call(owner, request, watched, signal).catch((error: unknown) => {
        if (!isUnavailable(error) || watched?.begun === true) throw error;
        return undefined;
      });
      if (answer !== undefined) return unwrap(answer);
      if (consensus.status().cutOff) throw ownerLost();
      if (clock.monotonicMs() + RETRY_MS > untilMs) throw unknownUpload(id);
      await pause(clock, RETRY_MS, signal);
    }
  }

  async #call(owner: PeerId, request: UploadCall, body: WatchedBody | undefined, signal: AbortSignal): Promise<UploadAnswer> {
    const { clock, consensus, exchange } = this.#context;
    const begunMs = clock.monotonicMs();
    const lost = new AbortController();
    const stopWatch = clock.every(RETRY_MS, () => {
      const quietMs = clock.monotonicMs() - Math.max(begunMs, body?.takenMs ?? 0);
      if (consensus.status().cutOff && quietMs >= CUT_OFF_WAIT_MS) lost.abort(ownerLost());
    });
    try {
      return await exchange.call(owner, request, body, AbortSignal.any([signal, lost.signal]));
    } catch (error) {
      throw lost.signal.aborted ? lost.signal.reason : error;
    } finally {
      stopWatch();
    }
  }

  #isMember(owner: PeerId): boolean {
    return this.#context.consensus.catalog.members().some((member) => member.peerId === owner);
  }

  /** It may have joined a moment ago: that it is unknown is only told from a state with a barrier. */
  async #assertFresh(owner: PeerId, id: string, signal: AbortSignal): Promise<void> {
    const freshness = await this.#context.consensus.barrier(signal);
    if (this.#isMember(owner)) return;
    if (freshness === "cutOff") throw cutOffError("this node is cut off from the cluster and does not know the owner of the upload");
    throw unknownUpload(id);
  }

  /** This node's side: what another node was asked for a session of ours. Its body is untrusted like any client's. */
  async #serve(from: PeerId, request: UploadCall, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<UploadAnswer> {
    try {
      return await this.#answer(from, request, body, signal);
    } catch (error) {
      // thrown, it could not be told from a node that is not reached, and the other side would try again
      if (isUnavailable(error)) return { ...error.detail, refused: error.code, message: error.message };
      throw error;
    }
  }

  async #answer(from: PeerId, request: UploadCall, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<UploadAnswer> {
    const { op, principal, id, digest: digestText } = request;
    const repository = typeof request.repository === "string" ? parseRepositoryName(request.repository) : undefined;
    if (repository === undefined || typeof principal !== "string" || typeof id !== "string") throw malformed(from);
    const caller = { principal };
    const chunk = { repository, local: id, offset: countOf(request.offset), sizeBytes: countOf(request.sizeBytes), body };
    switch (op) {
      case "status":
        return { offset: await this.#owner.progress(caller, repository, id) };
      case "append":
        return { offset: await this.#owner.append(caller, chunk, signal) };
      case "finish": {
        const digest = typeof digestText === "string" ? parseDigest(digestText) : undefined;
        if (digest === undefined) throw malformed(from);
        await this.#owner.finish(caller, chunk, digest, signal);
        return { digest };
      }
      case "cancel":
        await this.#owner.cancel(caller, repository, id);
        return {};
      default:
        throw malformed(from);
    }
  }
}

function ownerLost(): OciError {
  return cutOffError("this node is cut off from the cluster and does not reach the owner of the upload");
}

/** Knows whether anything was taken from it, for then it cannot be sent again, and when. */
class WatchedBody implements AsyncIterable<Uint8Array> {
  begun = false;
  takenMs = 0;
  readonly #body: AsyncIterable<Uint8Array>;
  readonly #clock: Clock;

  constructor(body: AsyncIterable<Uint8Array>, clock: Clock) {
    this.#body = body;
    this.#clock = clock;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    const chunks = this.#body[Symbol.asyncIterator]();
    return {
      next: () => {
        this.begun = true;
        this.takenMs = this.#clock.monotonicMs();
        return chunks.next();
      },
      // a connection that failed before it took a byte must not end the body
      return: async () => (this.begun ? ((await chunks.return?.()) ?? { done: true, value: undefined }) : { done: true, value: undefined }),
    };
  }
}

/** @throws OciError UNAVAILABLE where the owner was reached and said so itself */
function unwrap(answer: UploadAnswer): UploadAnswer {
  const { refused, message, ...rest } = answer;
  if (refused === undefined) return answer;
  const detail = Object.fromEntries(Object.entries(rest).filter((entry): entry is [string, string | number] => entry[1] !== undefined));
  throw new OciError("UNAVAILABLE", String(message), detail);
}

function isUnavailable(error: unknown): error is OciError {
  return error instanceof OciError && error.code === "UNAVAILABLE";
}

function offsetOf(answer: UploadAnswer): number {
  if (typeof answer.offset !== "number")
    throw new Error("the owner of an upload answered without an offset: it runs another version of roadstead");
  return answer.offset;
}

function countOf(value: string | number | undefined): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function malformed(from: PeerId): OciError {
  return new OciError("BLOB_UPLOAD_INVALID", "a member sent a call about an upload that cannot be read", { from });
}
