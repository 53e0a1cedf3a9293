import { fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { Latencies, type Summary } from "./latencies.ts";
import { started } from "./started.ts";

const ECHO = join(import.meta.dirname, "echo.ts");
const MESSAGE_BYTES = 200;
const WARM_UP_MS = 1_000;

/**
 * The floor of a commit of one caller: a message of the size of an append of one command goes to another process over TCP and comes back, one after the other, bare.
 * @param file where the other process writes and fdatasyncs each before it answers
 */
export async function roundTrips(measuredMs: number, file?: string): Promise<Summary> {
  const child = started(fork(ECHO, file === undefined ? [] : [file]));
  const [port] = (await once(child, "message")) as [number];
  const socket = connect(port, "127.0.0.1");
  socket.setNoDelay(true);
  await once(socket, "connect");
  const latencies = new Latencies();
  const bytes = Buffer.alloc(MESSAGE_BYTES, 7);
  const begin = performance.now() + WARM_UP_MS;
  for (let sent = performance.now(); sent < begin + measuredMs; sent = performance.now()) {
    socket.write(bytes);
    await once(socket, "data");
    if (sent >= begin) latencies.add(performance.now() - sent);
  }
  socket.destroy();
  const ended = once(child, "exit");
  child.disconnect();
  await ended;
  return latencies.summary(measuredMs);
}
