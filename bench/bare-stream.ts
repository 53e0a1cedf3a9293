/** One side of a bare libp2p stream between two processes: `serve SIZE` prints its peer id and address; `fetch PEER ADDRESS SIZE` prints seconds. */
import { generateKeyPair } from "@libp2p/crypto/keys";
import { systemClock } from "../src/core/clock.ts";
import { silentLog } from "../src/core/log.ts";
import { parsePeerId } from "../src/core/peer.ts";
import { startHost } from "../src/exchange/libp2p/host.ts";

const PROTOCOL = "/roadstead/bench/1.0.0";
const CHUNK = Buffer.alloc(1024 * 1024, 7);
const [mode = "", first = "", address = "", size = ""] = process.argv.slice(2);

const host = await startHost({
  privateKey: await generateKeyPair("Ed25519"),
  listen: ["127.0.0.1:0"],
  isMember: () => true,
  addressesOf: () => [address],
  clock: systemClock,
  log: silentLog,
});

if (mode === "serve") {
  const total = Number(first);
  await host.handle(PROTOCOL, async (stream) => {
    for (let sent = 0; sent < total; sent += CHUNK.byteLength) {
      if (!stream.send(CHUNK)) await new Promise((drained) => stream.addEventListener("drain", drained, { once: true }));
    }
    await stream.close();
  });
  process.stdout.write(`${JSON.stringify({ peer: host.self, address: host.addresses()[0] })}\n`);
} else {
  const peer = parsePeerId(first);
  if (peer === undefined) throw new Error("usage: bare-stream.ts fetch PEER ADDRESS SIZE");
  const begun = performance.now();
  const stream = await host.dial(peer, PROTOCOL, AbortSignal.timeout(60_000));
  let received = 0;
  await new Promise<void>((ended) => {
    stream.addEventListener("message", (event) => {
      received += event.data.byteLength;
      if (received >= Number(size)) ended();
    });
  });
  process.stdout.write(`${(performance.now() - begun) / 1000}\n`);
  await host.stop();
}
