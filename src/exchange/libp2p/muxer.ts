import type { MessageStream, StreamMuxer, StreamMuxerFactory } from "@libp2p/interface";
import { yamux } from "@libp2p/yamux";

/** Both ends assume yamux's first window of 256 KiB (none is sent for it); the receiver doubles it under load up to this. */
const WINDOW_MAX_BYTES = 8 * 1024 * 1024;
/**
 * Yamux doubles a window that was used up within four round trips. It measures those in whole milliseconds: in a data centre they are 0, no window
 * ever grows, and the sender stops after each 256 KiB.
 */
const ROUND_TRIP_MIN_MS = 25;

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
      const muxer: StreamMuxer & { getRTT?: () => number } = drainedWhenEmpty(connection, createStreamMuxer);
      const measured = muxer.getRTT?.bind(muxer);
      if (measured !== undefined) muxer.getRTT = () => Math.max(measured(), ROUND_TRIP_MIN_MS);
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
