import { expect, test } from "vitest";
import type { Boot, BootRefusal, Transport, TransportHandler } from "../../src/consensus/transport.ts";
import { ForgottenStarts } from "./forgotten-starts.ts";
import { World } from "./world.ts";

const bootOf = (letter: string): Boot => ({ incarnation: 4, nonce: letter.repeat(16), earlier: [], term: 1, lastIndex: 1 });

/** Nodes on one `ForgottenStarts`, each with the handler that its transport was given. */
function fixture() {
  const world = new World(1);
  const starts = new ForgottenStarts(world);
  const start = async (self: number, boot: Boot, refusal?: BootRefusal, sound = true): Promise<TransportHandler> => {
    let given: TransportHandler | undefined;
    const inner: Transport = {
      start: async (handler) => {
        given = handler;
      },
      send: () => undefined,
      sendSnapshot: async () => new Uint8Array(0),
      close: async () => undefined,
    };
    const handler: TransportHandler = {
      receive: () => refusal,
      refused: () => undefined,
      receiveSnapshot: async () => new Uint8Array(0),
      unreachable: () => undefined,
    };
    await starts.watch(inner, { self, sound: () => sound }).start(handler, boot);
    return given!;
  };
  return { world, starts, start };
}

test("G1: who knows better and takes a word of a disk that was put back is seen", async () => {
  const { world, starts, start } = fixture();
  const one = await start(1, bootOf("a"));
  starts.forgets(2, [1]);
  await start(2, bootOf("b"));
  one.receive(2, bootOf("c"), []);
  expect(world.violation).toBeUndefined();
  one.receive(2, bootOf("b"), []);
  expect(world.violation).toMatchObject({
    invariant: "nothing is taken of a disk that was put back",
    message: "node 1 has taken a word of node 2",
  });
});

test("who refuses it, cannot know, has ended, or hears a start of before is not to blame", async () => {
  const { world, starts, start } = fixture();
  await start(2, bootOf("a"));
  starts.forgets(2, [1, 4]);
  await start(2, bootOf("b"));
  const refuses = await start(1, bootOf("c"), { reason: "forked", incarnation: 4, nonce: bootOf("b").nonce });
  const ignorant = await start(3, bootOf("d"));
  const ended = await start(4, bootOf("e"), undefined, false);
  for (const handler of [refuses, ignorant, ended]) handler.receive(2, bootOf("b"), []);
  (await start(1, bootOf("f"))).receive(2, bootOf("a"), []);
  expect(world.violation).toBeUndefined();
});
