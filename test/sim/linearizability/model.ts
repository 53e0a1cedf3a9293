/**
 * What an object does when nobody else uses it: the sequential specification to which a history is held.
 * `Output` excludes `undefined`, which stands for an answer that nobody saw.
 */
export interface Model<State, Input, Output extends NonNullable<unknown> | null> {
  readonly init: State;
  /**
   * Pure. `ok` says whether the object in `state` may give `output` to `input`; an `output` of undefined (nobody saw the answer) may be anything.
   * `state` is read only when `ok`; it must be a new value, or the old one unchanged.
   */
  step(state: State, input: Input, output: Output | undefined): { readonly ok: boolean; readonly state: State };
  /** Equal (as keys of a Map) for equal states. Without it the state itself is compared, which suits strings and numbers alone. */
  identity?(state: State): unknown;
  /** True only where no state is ever changed by `input`. Such operations cost next to nothing to place. */
  isReadOnly?(input: Input): boolean;
  /** Operations on different parts do not affect each other, so that each part is checked alone, from `init`. */
  partition?(input: Input): string;
  describe?(input: Input, output: Output | undefined): string;
  describeState?(state: State): string;
}

/** One request of a client. Times are positions in any order that all clients share, such as a counter of events; equal times count as concurrent. */
export interface Operation<Input, Output> {
  readonly client: number | string;
  readonly input: Input;
  readonly calledAt: number;
  /** Absent: no answer came. The operation may take effect at any time after its call, or never. */
  readonly returned?: { readonly at: number; readonly output: Output };
}

/** Why no order explains a part of a history. */
export interface Violation<State, Input, Output> {
  /** What `Model.partition` said; undefined where the model has none. */
  readonly part: string | undefined;
  /** The first answer that fits nowhere: up to the one before it the history is linearizable, with it no longer. */
  readonly operation: Operation<Input, Output>;
  /** An order of as many operations as any that fits before `operation`. */
  readonly prefix: readonly Operation<Input, Output>[];
  /** States, one example of each, in which the object could be while `operation` ran; `STATES_MAX` at most. */
  readonly states: readonly State[];
  /** What ran beside `operation` and is not in `prefix`. */
  readonly open: readonly Operation<Input, Output>[];
  readonly operationCount: number;
}

/** States that an explanation lists. */
export const STATES_MAX = 8;
