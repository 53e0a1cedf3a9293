import { type MessageStream, type StreamMuxer, type StreamMuxerFactory, StreamStateError } from "@libp2p/interface";
import { yamux } from "@libp2p/yamux";

/** Both ends assume yamux's first window of 256 KiB (none is sent for it); the receiver doubles it under load up to this. */
const WINDOW_MAX_BYTES = 8 * 1024 * 1024;
/**
 * Yamux doubles a window that was used up within four round trips. It measures those in whole milliseconds: in a data centre they are 0, no window
 * ever grows, and the sender stops after each 256 KiB.
 */
const ROUND_TRIP_MIN_MS = 25;
/** A quarter of the first window: a sender has three quarters of its window left when it hears what was taken. */
const UPDATE_MIN_BYTES = 64 * 1024;
const WINDOW_UPDATE = 1;

interface Frame {
  readonly type: number;
  readonly flag: number;
  readonly streamID: number;
  readonly length: number;
}

/** What this stands on of the library's muxer, which is no public part of it. */
export interface Yamux {
  getRTT?: () => number;
  sendFrame?: (header: Frame, data?: unknown) => boolean;
  closeStream?: (id: number) => void;
}

/**
 * Yamux tells the sender after each frame what has been taken of it, a packet for a packet: of two that answer each other in short messages, half of all that they
 * send. Here it is told when it is worth a packet, or with what else is to be said of the stream.
 */
export function spareUpdates(muxer: Yamux): void {
  const send = muxer.sendFrame?.bind(muxer);
  const close = muxer.closeStream?.bind(muxer);
  if (send === undefined || close === undefined) return;
  const untold = new Map<number, number>();
  muxer.sendFrame = (header, data) => {
    const { type, flag, streamID } = header;
    if (type !== WINDOW_UPDATE) return send(header, data);
    const length = header.length + (untold.get(streamID) ?? 0);
    const tells = flag !== 0 || length >= UPDATE_MIN_BYTES;
    if (!tells) {
      untold.set(streamID, length);
      return true;
    }
    untold.delete(streamID);
    return whileOpen(() => send({ ...header, length }));
  };
  muxer.closeStream = (id) => {
    untold.delete(id);
    close(id);
  };
}

/**
 * Yamux opens a stream by an update that it sends a microtask later, where nobody catches what is thrown: where the connection has closed in between, the whole
 * process would end of it. There is nobody left to be told; the stream ends with the connection.
 */
function whileOpen(send: () => boolean): boolean {
  try {
    return send();
  } catch (error) {
    if (error instanceof StreamStateError) return true;
    throw error;
  }
}

/** Yamux as it is, with windows that grow on short lines too, and writers that wait until what they gave has left. */
export function createMuxer(): () => StreamMuxerFactory {
  const create = yamux({
    keepAliveInterval: 15_000,
    streamOptions: { maxStreamWindowSize: WINDOW_MAX_BYTES, maxReadBufferLength: 2 * WINDOW_MAX_BYTES },
  });
  return () => {
    const factory: StreamMuxerFactory = create();
    const createStreamMuxer = factory.createStreamMuxer.bind(factory);
    factory.createStreamMuxer = (connection: MessageStream): StreamMuxer => {
      const muxer: StreamMuxer & Yamux = drainedWhenEmpty(connection, createStreamMuxer);
      const measured = muxer.getRTT?.bind(muxer);
      if (measured !== undefined) muxer.getRTT = () => Math.max(measured(), ROUND_TRIP_MIN_MS);
      spareUpdates(muxer);
      return muxer;
    };
    return factory;
  };
}

/**
 * libp2p 3.3 lets every stream write on at each `drain` of the connection, though the connection may then still hold, by reference, what they gave it
 * before: it grows with each round, and a writer that reuses its buffer sends wrong bytes. Here the streams hear of it once the connection holds nothing.
 */
function drainedWhenEmpty(connection: MessageStream, create: (connection: MessageStream) => StreamMuxer): StreamMuxer {
  const add = connection.addEventListener;
  const listening = connection as { addEventListener(type: string, listener: (event: Event) => void): void };
  listening.addEventListener = (type, listener) => {
    const whenEmpty = (event: Event): void =>
      // the connection's own listener came first: in the microtask before this one it has sent what it held, or waits for the next drain
      queueMicrotask(() => {
        if (!connection.writableNeedsDrain) listener(event);
      });
    add.call(connection, type as "drain", type === "drain" ? whenEmpty : listener);
  };
  try {
    return create(connection);
  } finally {
    connection.addEventListener = add;
  }
}
