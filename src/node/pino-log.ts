import { type Logger, pino, stdSerializers } from "pino";
import type { Log } from "../core/log.ts";

/** JSON lines on standard output, written before the call returns: the last line before a crash is there. */
export function createPinoLog(level: string, name: string): Log {
  const serializers = { err: stdSerializers.err, error: (value: unknown) => (value instanceof Error ? stdSerializers.err(value) : value) };
  const options = {
    level,
    base: { node: name },
    serializers,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return bind(pino(options, pino.destination({ dest: 1, sync: true })));
}

function bind(logger: Logger): Log {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => bind(logger.child(fields)),
  };
}
