import type { Witness } from "./witness.ts";

/** Who asks a leader whether it leads may take only the answer to that: what was asked by an earlier start of its node may be answered late. */
export class ReadRules {
  readonly #fail: (invariant: string, message: string) => void;
  /** The start that has asked by each name. */
  readonly #starts = new Map<string, number>();

  constructor(fail: (invariant: string, message: string) => void) {
    this.#fail = fail;
  }

  asked({ id, log }: Witness, context: Uint8Array): void {
    const name = `${id}:${Buffer.from(context).toString("latin1")}`;
    const start = this.#starts.get(name) ?? log.incarnation;
    this.#starts.set(name, start);
    if (start === log.incarnation) return;
    this.#fail(
      "a read round has a name of its own",
      `node ${id} asks in its start ${log.incarnation} by the name of a round of start ${start}`,
    );
  }
}
