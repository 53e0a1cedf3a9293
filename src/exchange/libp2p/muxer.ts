import type { MessageStream, StreamMuxer, StreamMuxerFactory } from "@libp2p/interface";
import { yamux } from "@libp2p/yamux";

/** Both ends assume yamux's first window of 256 KiB (none is sent for it); the receiver doubles it under load up to this. */
const WINDOW_MAX_BYTES = 8 * 1024 * 1024;
/**
 * Yamux doubles a window that was used up within four round trips. It measures those in whole milliseconds: in a data centre they are 0, no window
 * ever grows, and the sender stops after each 256 KiB.
 */
const ROUND_TRIP_MIN_MS = 25;

/** Yamux as it is, with windows that grow on short lines too. */
export function createMuxer(): () => StreamMuxerFactory {
  const create = yamux({
    keepAliveInterval: 15_000,
    streamOptions: { maxStreamWindowSize: WINDOW_MAX_BYTES, maxReadBufferLength: 2 * WINDOW_MAX_BYTES },
  });
  return () => {
    const factory: StreamMuxerFactory = create();
    const createStreamMuxer = factory.createStreamMuxer.bind(factory);
    factory.createStreamMuxer = (connection: MessageStream): StreamMuxer => {
      const muxer: StreamMuxer & { getRTT?: () => number } = createStreamMuxer(connection);
      const measured = muxer.getRTT?.bind(muxer);
      if (measured !== undefined) muxer.getRTT = () => Math.max(measured(), ROUND_TRIP_MIN_MS);
      return muxer;
    };
    return factory;
  };
}
